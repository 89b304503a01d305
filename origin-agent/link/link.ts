// The link to the edge: a WebSocket that the agent dials. It sends the edge snapshots of the box, usage and failures,
// and receives commands. A thin shell over state-machine.ts, which decides; design.md has the decisions by number. No
// call waits for it: without a link the box continues to serve, and the journal keeps the usage.
import type { Logger } from "pino";
import { WebSocket, type RawData } from "ws";
import { TOKEN_HEADER } from "../../shared/call-headers.ts";
import { thrownName } from "../../shared/errors.ts";
import {
  EdgeFrame,
  LINK_BOX_HEADER,
  LINK_PATH,
  MAX_BATCH_CALLS,
  MAX_FAILED_CALLS,
  MAX_FRAME_BYTES,
  PING,
  PONG,
  readFrame,
  WIRE_VERSION,
  type AgentFrame,
  type FailedCall,
  type Hello,
  type RestartedFrame,
} from "../../shared/wire.ts";
import type { BoxSnapshot } from "./snapshot.ts";
import type { EdgeCommand } from "./edge-commands.ts";
import { DIAL_TIMEOUT_MS, LinkStateMachine, type LinkAction, type LinkEnd } from "./state-machine.ts";
import { logLink } from "./log.ts";
import type { UsageBatch, UsageJournal } from "../usage/journal.ts";

/** (8) How long a shutdown waits for the last usage to be acknowledged; the journal keeps the rest. */
const FINISH_MS = 2_000;

/** (8) How long it waits until the `bye` is written to the socket. */
const FLUSH_MS = 250;

/** Different faults in the edge's frames that are logged for each connection. */
const MAX_LOGGED_FAULTS = 8;

/** (7) Failures kept while there is no link; older ones are only in the log. */
const MAX_PENDING_FAILURES = 200;

/** (12) Ends of restarts kept while there is no link: one restart of each server, at most. */
const MAX_PENDING_RESTARTS = 64;

const NORMAL_CLOSE = 1_000;

const NOT_TEXT = { kind: "invalid", reason: "the frame isn't text" } as const;

/** The connection ended without a close frame. */
const ABNORMAL_CLOSE = 1_006;

export interface LinkOptions {
  /** The edge's URL, `http:` or `https:`. */
  readonly edgeUrl: string;
  readonly box: string;
  /** The box's token for `agent-to-edge`. */
  readonly token: string;
  readonly hello: () => Omit<Hello, "t" | "v">;
  readonly snapshot: (usageBehindMs: number | null) => BoxSnapshot;
  readonly journal: Pick<UsageJournal, "unacknowledged" | "acknowledge" | "sync">;
  readonly onCommand: (command: EdgeCommand) => void;
  readonly log: Pick<Logger, "info" | "warn" | "error">;
  /** Monotonic, milliseconds. */
  readonly clock: () => number;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
  readonly random: () => number;
}

export class Link {
  readonly #options: LinkOptions;
  readonly #machine: LinkStateMachine;
  #socket: WebSocket | null = null;
  /** The last fault of our own that was logged: a repeated one is logged once. */
  #loggedFault = "";
  /** Failures that aren't sent yet, with their times. */
  readonly #failures: (Omit<FailedCall, "agoMs"> & { readonly at: number })[] = [];
  /** Ends of restarts that aren't sent yet. */
  readonly #restarts: RestartedFrame[] = [];
  #timer: NodeJS.Timeout | null = null;
  #armedFor = Infinity;
  #finishing: Promise<void> | null = null;
  #onFinished: (() => void) | null = null;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#machine = new LinkStateMachine(options.random);
  }

  get isOpen(): boolean {
    return this.#machine.isOpen;
  }

  snapshot(): BoxSnapshot {
    return this.#options.snapshot(this.#machine.usageBehindMs(this.#options.clock()));
  }

  start(): void {
    this.#run(this.#machine.start(this.#options.clock()));
  }

  /** A call has ended and is in the journal. */
  callRecorded(): void {
    this.#machine.callRecorded(this.#options.clock());
    this.#arm();
  }

  /** (7) A call failed in a way that the edge can't detect. It is sent with the next snapshot, which the failure makes due. */
  callFailed(call: Omit<FailedCall, "agoMs">): void {
    this.#failures.push({ ...call, at: this.#options.clock() });
    if (this.#failures.length > MAX_PENDING_FAILURES) this.#failures.shift();
  }

  /** (12) A restart that the edge ordered has ended. It is sent at once, or with the next link's first snapshot. */
  restarted(frame: RestartedFrame): void {
    this.#restarts.push(frame);
    if (this.#restarts.length > MAX_PENDING_RESTARTS) this.#restarts.shift();
    if (this.isOpen) this.#sendRestarts();
  }

  /** (8) No more calls will end: sends what is left and a bye, within 2.25 s. */
  finish(): Promise<void> {
    return (this.#finishing ??= this.#finish());
  }

  async #finish(): Promise<void> {
    const finished = new Promise<void>((resolve) => (this.#onFinished = resolve));
    await this.#options.journal.sync().catch(ignore);
    this.#run(this.#machine.finish(this.#options.clock(), FINISH_MS));
    await finished;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** A fault in one action ends that action only: the link, and the process, continue. */
  #run(actions: readonly LinkAction[]): void {
    for (const action of actions) {
      try {
        this.#perform(action);
      } catch (error) {
        this.#logFault(`${action.kind}: ${thrownName(error)}`);
      }
    }
    this.#arm();
  }

  #logFault(reason: string): void {
    if (reason === this.#loggedFault) return;
    this.#loggedFault = reason;
    this.#options.log.error({ event: "link-fault", reason });
  }

  /** Sets the one timer, for the next due time; it keeps no process alive. */
  #arm(): void {
    const at = this.#machine.nextAt();
    if (at === this.#armedFor && this.#timer !== null) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#armedFor = at;
    if (at === Infinity) return;
    const { clock } = this.#options;
    const tick = (): void => {
      this.#timer = null;
      this.#run(this.#machine.tick(clock()));
    };
    // By this clock a timer may fire a little early; the tick then does nothing and sets the next one.
    this.#timer = setTimeout(tick, Math.max(1, Math.ceil(at - clock()))).unref();
  }

  #perform(action: LinkAction): void {
    const { clock, onCommand, hello, log } = this.#options;
    switch (action.kind) {
      case "dial":
        return this.#dial(action.dial);
      case "disconnect":
        return this.#disconnect();
      case "send-hello":
        return this.#send({ t: "hello", v: WIRE_VERSION, ...hello() });
      case "send-ping":
        this.#socket?.send(PING, ignore);
        return;
      case "take-snapshot":
        return this.#run(this.#machine.snapshotTaken(this.snapshot(), clock()));
      case "send-snapshot":
        this.#send(action.frame);
        this.#sendRestarts();
        return this.#sendFailures();
      case "send-usage":
        return this.#send(action.frame);
      case "read-journal":
        return void this.#readJournal();
      case "acknowledge":
        return void this.#acknowledge(action.epoch, action.seq);
      case "ledger-behind":
        log.error({ event: "ledger-behind", epoch: action.epoch, calls: action.calls });
        return;
      case "command":
        return onCommand(action.command);
      case "log":
        return logLink(log, action.end);
      case "send-bye":
        return this.#sendBye();
      case "finished":
        if (this.#socket === null) this.#onFinished?.();
        return;
    }
  }

  #dial(dial: number): void {
    const { edgeUrl, box, token, clock } = this.#options;
    const url = new URL(LINK_PATH, edgeUrl);
    url.protocol = url.protocol === "http:" ? "ws:" : "wss:";
    const socket = new WebSocket(url, {
      headers: { [LINK_BOX_HEADER]: box, [TOKEN_HEADER]: token },
      handshakeTimeout: DIAL_TIMEOUT_MS,
      maxPayload: MAX_FRAME_BYTES,
      perMessageDeflate: false,
      followRedirects: false,
    });
    this.#socket = socket;
    let cause = "";
    const onEnd = (end: LinkEnd): void => {
      if (this.#socket === socket) this.#socket = null;
      socket.terminate();
      this.#run(this.#machine.ended(dial, end, clock()));
    };
    const faults = new Set<string>();
    socket.on("open", () => this.#run(this.#machine.opened(dial, clock())));
    socket.on("message", (data: RawData, isBinary: boolean) => this.#onMessage(dial, data, isBinary, faults));
    socket.on("unexpected-response", (_request, response) => {
      response.destroy();
      onEnd({ kind: "refused", status: response.statusCode ?? 0 });
    });
    socket.on("error", (error: NodeJS.ErrnoException) => (cause = error.code ?? "ERROR"));
    socket.on("close", (code) =>
      onEnd(
        cause !== "" || code === ABNORMAL_CLOSE ? { kind: "unreachable", cause } : { kind: "closed", code },
      ),
    );
  }

  #onMessage(dial: number, data: RawData, isBinary: boolean, faults: Set<string>): void {
    const { clock, log } = this.#options;
    const text = !isBinary && Buffer.isBuffer(data) ? data.toString("utf8") : null;
    if (text === PONG) {
      this.#machine.pongReceived(dial);
      return this.#arm();
    }
    const read = text === null ? NOT_TEXT : readFrame(EdgeFrame, text);
    if (read.kind === "unknown") return;
    if (read.kind === "frame") return this.#run(this.#machine.frameReceived(dial, read.frame, clock()));
    if (faults.size >= MAX_LOGGED_FAULTS || faults.has(read.reason)) return;
    faults.add(read.reason);
    log.warn({ event: "link-frame", reason: read.reason });
  }

  #send(frame: AgentFrame): void {
    // The edge's reply shows whether it arrived; a socket that can't send is closed.
    this.#socket?.send(JSON.stringify(frame), ignore);
  }

  #sendRestarts(): void {
    for (const frame of this.#restarts.splice(0)) this.#send(frame);
  }

  #sendFailures(): void {
    const now = this.#options.clock();
    while (this.#failures.length > 0) {
      const calls = this.#failures
        .splice(0, MAX_FAILED_CALLS)
        .map(({ at, ...call }) => ({ ...call, agoMs: Math.max(0, Math.round(now - at)) }));
      this.#send({ t: "failed", calls });
    }
  }

  #disconnect(): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.terminate();
  }

  async #readJournal(): Promise<void> {
    const { journal, clock, wallClock, log } = this.#options;
    let batch: UsageBatch | null = null;
    try {
      batch = await journal.unacknowledged(MAX_BATCH_CALLS);
    } catch (error) {
      log.error({ event: "journal", reason: thrownName(error) });
    }
    const [first] = batch?.calls ?? [];
    const endedAt = first === undefined ? 0 : first.startedAt + (first.durationMs ?? 0);
    this.#run(this.#machine.batchRead(batch, Math.max(0, wallClock() - endedAt), clock()));
  }

  async #acknowledge(epoch: string, seq: number): Promise<void> {
    await this.#options.journal.acknowledge(epoch, seq).catch(ignore);
    this.#run(this.#machine.journalAcknowledged(this.#options.clock()));
  }

  #sendBye(): void {
    const socket = this.#socket;
    const done = (): void => {
      this.#socket = null;
      this.#onFinished?.();
    };
    if (socket === null || socket.readyState !== WebSocket.OPEN) return done();
    const timer = setTimeout(done, FLUSH_MS);
    socket.send(JSON.stringify({ t: "bye" } satisfies AgentFrame), () => {
      clearTimeout(timer);
      socket.close(NORMAL_CLOSE);
      done();
    });
  }
}

function ignore(): void {
  // Anything that wasn't sent or acknowledged is sent again over the next link.
}
