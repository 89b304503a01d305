// The deployment's fleet object: the agents' sockets, what they last said and said before, the fate of failed requests,
// and who must be woken. It has no timer and no call of its own pending, so it sleeps between frames; a session lies in
// its socket's attachment, and its own look at the fleet is the platform's alarm.
import { DurableObject } from "cloudflare:workers";
import type { BoxReport } from "../../../shared/box-report.ts";
import type { Failure, FailureFlood } from "../../../shared/failures.ts";
import type { PortsByBox } from "../../../shared/fleet.ts";
import type { FleetHistory, FleetState } from "../../../shared/fleet-view.ts";
import {
  LINK_BOX_HEADER,
  LINK_BOXES_HEADER,
  LINK_CLOSE,
  LINK_FLEET_HEADER,
  LINK_PORTS_HEADER,
  PING,
  PONG,
  type EdgeFrame,
  type FailedCall,
  type Snapshot,
  type UsageFrame,
} from "../../../shared/wire.ts";
import type { Bindings } from "../../env.ts";
import { watchedBoxes } from "../alarms/inputs.ts";
import { postAlert, TEST_NEWS, type Posted } from "../alarms/delivery.ts";
import { NO_FAILURES, sortFailures } from "../../failures/sampling.ts";
import { FailureTables } from "../../failures/store.ts";
import { FleetWatch } from "./box-watch.ts";
import { hear, noteMisdated, type Heard, type LinkAct, type Session } from "./sessions.ts";
import { LinkTables } from "./link-store.ts";
import { end, LinkSockets, send } from "./sockets.ts";
import { ledgerObject } from "../../stubs.ts";

/** Failures taken in one call; an isolate keeps fewer. */
const MAX_FAILURES_A_CALL = 500;

/** Floods named to whoever asks for a request that isn't kept. */
const FLOODS_NAMED = 3;

/** How often the fleet is looked at for what should wake somebody, milliseconds. */
const LOOK_MS = 15_000;

/** Failures told with the fleet, and over how long their codes are counted, milliseconds. */
const FAILURES_TOLD = 50;
const CODES_MS = 5 * 60_000;

/** Longest warning there is a place for in a frame, characters. */
const MAX_WARNING = 400;

export class Fleet extends DurableObject<Bindings> {
  readonly #failures: FailureTables;
  readonly #links: LinkTables;
  readonly #watch: FleetWatch;
  #pace = NO_FAILURES;
  readonly #sockets: LinkSockets;
  /** Sockets with a batch on its way to the ledger: an agent sends the next one when that is acknowledged. */
  readonly #booking = new WeakSet<WebSocket>();

  constructor(state: DurableObjectState, env: Bindings) {
    super(state, env);
    this.#failures = new FailureTables(state.storage.sql);
    this.#failures.create();
    this.#links = new LinkTables(state.storage.sql);
    this.#links.create();
    this.#sockets = new LinkSockets(state, this.#links);
    this.#watch = new FleetWatch(state.storage.sql);
    state.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
  }

  /** An agent's upgrade. The edge has checked its token, and says for which box in a header. */
  override async fetch(request: Request): Promise<Response> {
    const box = request.headers.get(LINK_BOX_HEADER);
    if (box === null || request.headers.get("upgrade") !== "websocket")
      return new Response(null, { status: 400 });
    const { 0: client, 1: server } = new WebSocketPair();
    this.#sockets.accept(server, box, request.headers.get(LINK_FLEET_HEADER) ?? "", Date.now());
    const boxes = request.headers.get(LINK_BOXES_HEADER);
    const ports = request.headers.get(LINK_PORTS_HEADER);
    if (boxes !== null)
      this.#watch.expect(boxes.split(","), ports === null ? null : (JSON.parse(ports) as PortsByBox));
    await this.#lookLater();
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    const session = this.#sockets.sessionOf(socket);
    // Of another release, or closed by us with frames on their way.
    if (session === null)
      return end(socket, LINK_CLOSE.protocol, "the edge lost this link's beginning; dial again");
    await this.#follow(socket, session, hear(session, message, Date.now()));
  }

  override webSocketClose(socket: WebSocket): void {
    this.#sockets.noteClosed(socket);
  }

  /** Connections break: the agent dials again, and nothing here is lost. */
  override webSocketError(socket: WebSocket): void {
    this.#sockets.noteClosed(socket);
  }

  /** Tells every agent that a key was revoked; one that is just dialling again hears it at its hello. */
  revoke(keyId: string): void {
    this.#links.revoked(keyId, Date.now());
    for (const socket of this.#sockets.all()) send(socket, { t: "revoke", keyId });
  }

  /** What each box last said; a box that never dialled isn't among them. */
  boxes(): readonly BoxReport[] {
    return this.#sockets.reports(Date.now());
  }

  /**
   * All there is to tell of the fleet.
   * @param expected boxes of the edge's fleet file
   * @param ports their servers; an edge of the release before doesn't say
   */
  async words(expected: readonly string[], ports: PortsByBox | null = null): Promise<FleetState> {
    const now = Date.now();
    this.#watch.expect(expected, ports);
    await this.#lookLater();
    return {
      reports: this.#sockets.reports(now),
      since: this.#watch.since(),
      events: this.#watch.events(),
      alarms: this.#watch.alarms(),
      failures: this.#failures.newest(FAILURES_TOLD, now),
      byCode: this.#failures.byCode(now - CODES_MS),
    };
  }

  history(box: string, minutes: number): FleetHistory {
    return this.#watch.history(box, minutes, Date.now());
  }

  /** Tells a box's agents what an operator wants; how many were told. */
  order(box: string, frame: Extract<EdgeFrame, { t: "drain" | "resume" | "restart" }>): number {
    if (frame.t !== "restart") this.#links.hold(box, frame.t === "drain");
    const sockets = this.#sockets.openOf(box);
    for (const socket of sockets) send(socket, frame);
    // A wish to drain or resume is kept for an agent that dials later; a restart that nobody hears of isn't one.
    if (frame.t === "restart" && sockets.length === 0) return 0;
    const port = frame.t === "restart" ? frame.port : null;
    this.#watch.note(box, { port, level: "info", text: ORDERS[frame.t] }, Date.now());
    return sockets.length;
  }

  async testAlert(): Promise<Posted> {
    return postAlert(this.env.ALERT_WEBHOOK_URL, { ...TEST_NEWS, since: Date.now() });
  }

  /** Looks for what should wake somebody. Run again by the platform where it throws: a look repeated tells nothing twice. */
  override async alarm(): Promise<void> {
    try {
      const now = Date.now();
      const boxes = watchedBoxes(
        this.#watch.expected(),
        this.#watch.ports(),
        this.#sockets.reports(now),
        now,
      );
      this.#watch.look(boxes, now);
      await this.#deliver();
    } finally {
      await this.ctx.storage.setAlarm(Date.now() + LOOK_MS);
    }
  }

  /** In order; the first that can't be delivered waits for the next look, and the others behind it. */
  async #deliver(): Promise<void> {
    for (const { id, news } of this.#watch.outbox()) {
      if ((await postAlert(this.env.ALERT_WEBHOOK_URL, news)) === "failed") return;
      this.#watch.delivered(id);
    }
  }

  async #lookLater(): Promise<void> {
    if ((await this.ctx.storage.getAlarm()) === null) await this.ctx.storage.setAlarm(Date.now() + LOOK_MS);
  }

  noteFailures(failures: readonly Failure[], floods: readonly FailureFlood[]): void {
    const now = Date.now();
    const sorted = sortFailures(this.#pace, failures.slice(0, MAX_FAILURES_A_CALL), now);
    this.#pace = sorted.pace;
    const counted = [...floods.slice(0, MAX_FAILURES_A_CALL), ...sorted.floods];
    this.ctx.storage.transactionSync(() => this.#failures.add(sorted.singles, counted, now));
  }

  failure(requestId: string): Failure | null {
    return this.#failures.find(requestId, Date.now());
  }

  /** The largest floods of the last day: failures that were only counted. */
  floods(): readonly FailureFlood[] {
    return this.#failures.floods(FLOODS_NAMED, Date.now());
  }

  async #follow(socket: WebSocket, before: Session, { session, acts }: Heard): Promise<void> {
    this.#sockets.keep(socket, session);
    if (session.snapshot !== null && session.snapshot !== before.snapshot)
      this.#noteSnapshot(session, session.snapshot);
    for (const act of acts) await this.#do(socket, session, act);
  }

  async #do(socket: WebSocket, session: Session, act: LinkAct): Promise<void> {
    switch (act.act) {
      case "warn":
        return send(socket, { t: "warning", message: act.message.slice(0, MAX_WARNING) });
      case "close":
        return end(socket, act.code, act.reason);
      case "greet":
        return this.#sockets.greet(socket, session, act.epoch, Date.now());
      case "note":
        return this.noteFailures(
          act.calls.map((call) => failureOf(call, session.box, Date.now())),
          [],
        );
      case "book":
        return this.#book(socket, session.box, act.batch);
    }
  }

  #noteSnapshot(session: Session, snapshot: Snapshot): void {
    if (this.#sockets.reportsForBox(session)) this.#watch.said(session.box, snapshot, Date.now());
  }

  /** Acknowledges what the ledger keeps, and nothing else: without an answer the agent sends the batch again. */
  async #book(socket: WebSocket, box: string, { epoch, after, calls }: UsageFrame): Promise<void> {
    if (this.#booking.has(socket)) return;
    this.#booking.add(socket);
    try {
      const ledger = ledgerObject(this.env);
      const { upTo, lastSeq = upTo, misdated } = await ledger.apply(box, epoch, after, calls);
      send(socket, { t: "ack", epoch, upTo: lastSeq });
      const session = this.#sockets.sessionOf(socket);
      if (misdated > 0 && session !== null)
        await this.#follow(socket, session, noteMisdated(session, misdated));
    } catch {
      // The ledger restarts, or is out of reach.
    } finally {
      this.#booking.delete(socket);
    }
  }
}

/** A call that broke in its answer, as its box tells it. */
function failureOf(
  { requestId, keyId, code, route, port, agoMs }: FailedCall,
  box: string,
  now: number,
): Failure {
  const at = port === null ? box : `${box}:${port}`;
  return {
    requestId,
    at: now - agoMs,
    code,
    route,
    key: keyId,
    cause: `in the midst of its answer, at ${at}`,
  };
}

const ORDERS = {
  drain: "an operator drains it",
  resume: "an operator lets it take calls again",
  restart: "an operator has it restarted",
} as const;
