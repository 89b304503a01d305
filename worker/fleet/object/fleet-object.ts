// The deployment's fleet object: owns the agents' sockets, the boxes' latest and past status, the failed requests and
// the alarms. It has a timer only while an operator waits for a restart, so it hibernates between frames. A session is
// stored in its socket's attachment; the platform's alarm runs the object's own evaluation of the fleet.
import { DurableObject } from "cloudflare:workers";
import type { Failure, FailureFlood } from "../../../shared/failures.ts";
import { faultOf } from "../../../shared/errors.ts";
import type { PortsByBox, ProcessesByBox } from "../../../shared/fleet.ts";
import type { FleetHistory } from "../../../shared/fleet-view.ts";
import { RESTART_REPORT_MS } from "../../../shared/limits.ts";
import {
  LINK_BOX_HEADER,
  LINK_BOXES_HEADER,
  LINK_CLOSE,
  LINK_FLEET_HEADER,
  LINK_PORTS_HEADER,
  LINK_PROCESSES_HEADER,
  PING,
  PONG,
  type BoxCommand,
  type FailedCall,
  type RestartedFrame,
  type Snapshot,
  type UsageFrame,
} from "../../../shared/wire.ts";
import type { Bindings } from "../../env.ts";
import { watchedBoxes } from "../alarms/inputs.ts";
import { postAlert, TEST_MESSAGE, type Posted } from "../alarms/delivery.ts";
import { FailureSampler } from "../../failures/sampling.ts";
import { FailureStore } from "../../failures/store.ts";
import type { BoxReport, FleetState } from "./box-reports.ts";
import { BoxWatch } from "./box-watch.ts";
import { serverName } from "./events.ts";
import { handleFrame, warnOfMisdated, type Handled, type LinkAction, type Session } from "./sessions.ts";
import { LinkStore } from "./link-store.ts";
import { end, LinkSockets, send } from "./sockets.ts";
import { endLevel, PendingRestarts, restartEnd, type RestartEnd } from "./restarts.ts";
import { ledgerObject, registryObject } from "../../stubs.ts";

/** Failures accepted in one call; an isolate sends fewer. */
const MAX_FAILURES_A_CALL = 500;

/** A sampling period is a minute: enough of a kind to see a pattern, and half an hour until it fills the store. */
export const SAMPLING_LIMITS = { perKind: 300, perBatch: MAX_FAILURES_A_CALL, kinds: 2_000 } as const;
const SAMPLING_PERIOD_MS = 60_000;

/** Floods listed if a requested failure isn't stored. */
const FLOODS_LISTED = 3;

/** How often the alarm conditions are evaluated. */
const EVALUATE_MS = 15_000;

/** Failures returned with the fleet's state, and the time over which their codes are counted. */
const FAILURES_SHOWN = 50;
const CODES_MS = 5 * 60_000;

/** An operator's restart: the number of agents that received it, and its end; null if none was reported in time. */
export interface OrderedRestart {
  readonly agents: number;
  readonly end: RestartEnd | null;
}

/** Longest warning that fits the frame's field. */
const MAX_WARNING = 400;

export class Fleet extends DurableObject<Bindings> {
  readonly #failures: FailureStore;
  readonly #sampler = new FailureSampler(SAMPLING_LIMITS);
  #samplingPeriod = 0;
  readonly #links: LinkStore;
  readonly #watch: BoxWatch;
  readonly #sockets: LinkSockets;
  readonly #restarts = new PendingRestarts();
  /** Sockets whose batch is being booked: an agent sends the next one after the acknowledgement. */
  readonly #booking = new WeakSet<WebSocket>();

  constructor(state: DurableObjectState, env: Bindings) {
    super(state, env);
    this.#failures = new FailureStore(state.storage.sql);
    this.#links = new LinkStore(state.storage.sql);
    this.#sockets = new LinkSockets(state, this.#links);
    this.#watch = new BoxWatch(state.storage.sql);
    state.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
  }

  /** An agent's upgrade. The edge has checked its token; the headers contain its box and the edge's fleet file. */
  override async fetch(request: Request): Promise<Response> {
    const box = request.headers.get(LINK_BOX_HEADER);
    if (box === null || request.headers.get("upgrade") !== "websocket")
      return new Response(null, { status: 400 });
    const { 0: client, 1: server } = new WebSocketPair();
    this.#sockets.accept(server, box, request.headers.get(LINK_FLEET_HEADER) ?? "", Date.now());
    const boxes = request.headers.get(LINK_BOXES_HEADER);
    const ports = request.headers.get(LINK_PORTS_HEADER) ?? "{}";
    const processes = request.headers.get(LINK_PROCESSES_HEADER) ?? "{}";
    if (boxes !== null) {
      const byBox = JSON.parse(processes) as ProcessesByBox;
      this.#watch.expect(boxes.split(","), JSON.parse(ports) as PortsByBox, byBox);
    }
    await this.#scheduleEvaluation();
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    const session = this.#sockets.sessionOf(socket);
    // Another release wrote the session, or the socket was closed with frames still in transit.
    if (session === null)
      return end(socket, LINK_CLOSE.protocol, "the edge lost this link's session; dial again");
    await this.#apply(socket, session, handleFrame(session, message, Date.now()));
  }

  override webSocketClose(socket: WebSocket): void {
    this.#sockets.noteClosed(socket);
  }

  /** Connections break: the agent dials again, and nothing here is lost. */
  override webSocketError(socket: WebSocket): void {
    this.#sockets.noteClosed(socket);
  }

  /** Sends a key's revocation to every agent; an agent that is dialling again receives it after its hello. */
  revoke(keyId: string): void {
    this.#links.noteRevoked(keyId, Date.now());
    for (const socket of this.#sockets.all()) send(socket, { t: "revoke", keyId });
  }

  /** The latest report of each box; a box that never dialled has none. */
  boxes(): readonly BoxReport[] {
    return this.#sockets.reports(Date.now());
  }

  /**
   * Everything that is known about the fleet.
   * @param expected the boxes of the edge's fleet file
   * @param ports their servers
   * @param processes PM2's names of these; an edge of an earlier release passes none
   */
  async state(
    expected: readonly string[],
    ports: PortsByBox = {},
    processes?: ProcessesByBox,
  ): Promise<FleetState> {
    const now = Date.now();
    this.#watch.expect(expected, ports, processes);
    await this.#scheduleEvaluation();
    return {
      reports: this.#sockets.reports(now),
      since: this.#watch.since(),
      events: this.#watch.events(),
      alarms: this.#watch.alarms(this.#failedRequest(now)),
      failures: this.#failures.newest(FAILURES_SHOWN, now),
      byCode: this.#failures.byCode(now - CODES_MS),
      ours: this.#failures.newestOurs(now),
      groups: this.#failures.groups(now),
    };
  }

  history(box: string, minutes: number): FleetHistory {
    return this.#watch.history(box, minutes, Date.now());
  }

  /** Sends an operator's drain or resume to a box's agents; returns the number of agents that it was sent to. */
  command(box: string, frame: BoxCommand): number {
    // An edge of an earlier release sends restarts here too, and waits for no report.
    if (frame.t === "restart") return this.#sendRestart(box, frame.port, crypto.randomUUID());
    const sockets = this.#sockets.openOf(box);
    const { at } = this.#links.setDrained(box, frame.t === "drain", Date.now());
    // It is stored for agents that dial later.
    for (const socket of sockets) send(socket, { t: frame.t, at });
    const text = `${box} was ${frame.t === "drain" ? "drained" : "resumed"} by an operator`;
    this.#watch.addEvent(box, { port: null, level: "info", text }, Date.now());
    return sockets.length;
  }

  /**
   * Sends an operator's restart to the agent that describes the box, and waits for its report.
   * @param id names the command; the audit's entry has it as its request id
   */
  async restart(box: string, port: number, id: string): Promise<OrderedRestart> {
    const ended = this.#restarts.wait(id, RESTART_REPORT_MS);
    const agents = this.#sendRestart(box, port, id);
    // A restart that no agent receives isn't stored: a box that comes back isn't restarted an hour later.
    if (agents === 0) this.#restarts.cancel(id);
    return { agents, end: await ended };
  }

  #sendRestart(box: string, port: number, id: string): number {
    const socket = this.#sockets.reportingSocket(box);
    if (socket === null) return 0;
    send(socket, { t: "restart", port, id });
    const text = `${this.#nameOf(box, port)}: an operator requested a restart`;
    this.#watch.addEvent(box, { port, level: "info", text }, Date.now());
    return 1;
  }

  #nameOf(box: string, port: number): string {
    return serverName(box, port, this.#sockets.modelOn(box, port));
  }

  async testAlert(): Promise<Posted> {
    return postAlert(this.env.ALERT_WEBHOOK_URL, { ...TEST_MESSAGE, since: Date.now() });
  }

  /** Evaluates the alarms. The platform runs it again if it throws; a repeated evaluation creates no second message. */
  override async alarm(): Promise<void> {
    try {
      const now = Date.now();
      const boxes = watchedBoxes(
        this.#watch.expected(),
        this.#watch.ports(),
        this.#sockets.reports(now),
        now,
      );
      this.#watch.evaluate(boxes, now, this.#failedRequest(now));
      await this.#deliver();
    } finally {
      await this.ctx.storage.setAlarm(Date.now() + EVALUATE_MS);
    }
  }

  noteFailures(failures: readonly Failure[], floods: readonly FailureFlood[]): void {
    const now = Date.now();
    const period = Math.floor(now / SAMPLING_PERIOD_MS);
    if (period !== this.#samplingPeriod) this.#sampler.startPeriod();
    this.#samplingPeriod = period;
    for (const failure of failures.slice(0, MAX_FAILURES_A_CALL)) this.#sampler.add(failure);
    const sampled = this.#sampler.take();
    const counted = [...floods.slice(0, MAX_FAILURES_A_CALL), ...sampled.floods];
    this.ctx.storage.transactionSync(() => this.#failures.add(sampled.failures, counted, now));
  }

  failure(requestId: string): Failure | null {
    return this.#failures.find(requestId, Date.now());
  }

  /** The largest floods of the last day: failures that were only counted. */
  floods(): readonly FailureFlood[] {
    return this.#failures.floods(FLOODS_LISTED, Date.now());
  }

  /** The newest request that failed by our fault. */
  #failedRequest(now: number): string | null {
    const failures = this.#failures.newest(FAILURES_SHOWN, now);
    return failures.find(({ code }) => faultOf(code) === "ours")?.requestId ?? null;
  }

  /** Delivers in order; a message that fails waits for the next evaluation, and so do the messages after it. */
  async #deliver(): Promise<void> {
    for (const { id, message } of this.#watch.outbox()) {
      if ((await postAlert(this.env.ALERT_WEBHOOK_URL, message)) === "failed") return;
      this.#watch.markDelivered(id);
    }
  }

  async #scheduleEvaluation(): Promise<void> {
    const { storage } = this.ctx;
    if ((await storage.getAlarm()) === null) await storage.setAlarm(Date.now() + EVALUATE_MS);
  }

  async #apply(socket: WebSocket, before: Session, { session, actions }: Handled): Promise<void> {
    this.#sockets.keep(socket, session);
    if (session.snapshot !== null && session.snapshot !== before.snapshot)
      this.#recordSnapshot(session, session.snapshot);
    for (const action of actions) await this.#run(socket, session, action);
  }

  async #run(socket: WebSocket, session: Session, action: LinkAction): Promise<void> {
    switch (action.kind) {
      case "warn":
        return send(socket, { t: "warning", message: action.message.slice(0, MAX_WARNING) });
      case "close":
        return end(socket, action.code, action.reason);
      case "greet":
        return this.#sockets.greet(socket, session, action.epoch, action.drain, Date.now());
      case "note-failed": {
        const now = Date.now();
        return this.noteFailures(
          action.calls.map((call) => failureOf(call, session, now)),
          [],
        );
      }
      case "restart-ended":
        return this.#noteRestarted(session.box, action.frame);
      case "book":
        return this.#book(socket, session.box, action.batch);
    }
  }

  #recordSnapshot(session: Session, snapshot: Snapshot): void {
    if (!this.#sockets.reportsForBox(session)) return;
    const models = new Map(session.hello?.servers.map(({ port, model }) => [port, model]));
    this.#watch.record(session.box, snapshot, models, Date.now());
  }

  /** The event, the audit and the operator who waits get the same outcome. */
  async #noteRestarted(box: string, frame: RestartedFrame): Promise<void> {
    if (!this.#restarts.isNew(frame)) return;
    const { id, port, outcome, tookMs } = frame;
    const process = this.#watch.processes()[box]?.[port] ?? `the server on ${port}`;
    const end = restartEnd(frame, { box, port, name: this.#nameOf(box, port), process });
    this.#watch.addEvent(box, { port, level: endLevel(end), text: end.text }, Date.now());
    const named = { requestId: id, action: "server.restart", target: `${box}:${port}` } as const;
    try {
      await registryObject(this.env).noteOutcome(named, { outcome, tookMs });
    } catch {
      // The registry is restarting: the audit has the command, the event has its outcome.
    }
    this.#restarts.end(id, end);
  }

  /** Acknowledges only what the ledger has stored: without an acknowledgement the agent sends the batch again. */
  async #book(socket: WebSocket, box: string, batch: UsageFrame): Promise<void> {
    if (this.#booking.has(socket)) return;
    this.#booking.add(socket);
    const { epoch, ackedSeq, calls } = batch;
    try {
      const { lastSeq, misdated } = await ledgerObject(this.env).apply(box, epoch, ackedSeq, calls);
      send(socket, { t: "ack", epoch, lastSeq });
      const session = this.#sockets.sessionOf(socket);
      if (misdated > 0 && session !== null)
        await this.#apply(socket, session, warnOfMisdated(session, misdated));
    } catch {
      // The ledger is restarting or unreachable.
    } finally {
      this.#booking.delete(socket);
    }
  }
}

/** A call that broke after its answer had started, as its box reports it. */
function failureOf(
  { requestId, keyId, code, route, port, agentType, agoMs }: FailedCall,
  { box, hello }: Session,
  now: number,
): Failure {
  const cause = `during its answer, at ${port === null ? box : `${box}:${port}`}`;
  const model = hello?.servers.find((server) => server.port === port)?.model ?? "";
  return {
    requestId,
    at: now - agoMs,
    code,
    route,
    key: keyId,
    cause,
    ...(agentType === undefined ? {} : { agentType }),
    ...(port === null ? {} : { port }),
    ...(model === "" ? {} : { model }),
  };
}
