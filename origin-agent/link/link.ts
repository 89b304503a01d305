// The link to the edge: a socket that the agent dials, over which the edge hears what the box is like and what its
// calls cost, and says what is to be done. A thin shell over link-core.ts. No call ever waits for it: without a link
// the box serves on, and the journal keeps what is to be told.
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
  type AgentFrame,
  type FailedCall,
  type Hello,
} from "../../shared/wire.ts";
import type { BoxSnapshot } from "./snapshot.ts";
import type { EdgeCommand } from "./edge-commands.ts";
import { DIAL_MS, LinkCore, type LinkCommand, type LinkEnd } from "./state-machine.ts";
import { linkLog } from "./log.ts";
import type { UsageBatch, UsageJournal } from "../usage/journal.ts";

/** How long the end of a drain waits for the last usage to be acknowledged, milliseconds; the journal keeps the rest. */
const FINISH_MS = 2_000;

/** And for its last word to reach the system, milliseconds. */
const FLUSH_MS = 250;

/** Faults of the edge's frames that are told apart in a connection's log. */
const MAX_FAULTS_TOLD = 8;

/** Failures kept while there is no link; older ones are in the log. */
const MAX_FAILED = 200;

/** The code of a link that ends as it should. */
const NORMAL_CLOSE = 1_000;

export interface LinkOptions {
  /** The edge's URL, `http:` or `https:`. */
  readonly edgeUrl: string;
  readonly box: string;
  /** The box's, for `agent-to-edge`. */
  readonly token: string;
  readonly hello: () => Omit<Hello, "t" | "v">;
  readonly look: (usageBehindMs: number | null) => BoxSnapshot;
  readonly journal: Pick<UsageJournal, "unacknowledged" | "acknowledge" | "sync">;
  readonly onWord: (word: EdgeCommand) => void;
  readonly log: Pick<Logger, "info" | "warn" | "error">;
  /** Monotonic, milliseconds. */
  readonly clock: () => number;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
  readonly random: () => number;
}

export class Link {
  readonly #options: LinkOptions;
  readonly #core: LinkCore;
  #socket: WebSocket | null = null;
  /** Not told yet, and when. */
  readonly #failed: (Omit<FailedCall, "agoMs"> & { readonly at: number })[] = [];
  #timer: NodeJS.Timeout | null = null;
  #armedFor = Infinity;
  #finishing: Promise<void> | null = null;
  #onFinished: (() => void) | null = null;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#core = new LinkCore(options.random);
  }

  get isOpen(): boolean {
    return this.#core.isOpen;
  }

  /** What the box is like now. */
  snapshot(): BoxSnapshot {
    return this.#options.look(this.#core.usageBehindMs(this.#options.clock()));
  }

  start(): void {
    this.#run(this.#core.start(this.#options.clock()));
  }

  /** A call has ended, and the journal has it. */
  noted(): void {
    this.#core.noted(this.#options.clock());
    this.#arm();
  }

  /** A call failed where the edge can't see it; told with the next snapshot, which its failure brings about. */
  failed(call: Omit<FailedCall, "agoMs">): void {
    this.#failed.push({ ...call, at: this.#options.clock() });
    if (this.#failed.length > MAX_FAILED) this.#failed.shift();
  }

  /** Nothing new will come: tells what is left and says bye, within a bound. */
  finish(): Promise<void> {
    return (this.#finishing ??= this.#finish());
  }

  async #finish(): Promise<void> {
    const finished = new Promise<void>((resolve) => (this.#onFinished = resolve));
    await this.#options.journal.sync().catch(ignore);
    this.#run(this.#core.finish(this.#options.clock(), FINISH_MS));
    await finished;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #run(commands: readonly LinkCommand[]): void {
    for (const command of commands) this.#perform(command);
    this.#arm();
  }

  /** One timer, for whatever is due next; it keeps no process alive. */
  #arm(): void {
    const at = this.#core.nextAt();
    if (at === this.#armedFor && this.#timer !== null) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#armedFor = at;
    if (at === Infinity) return;
    const { clock } = this.#options;
    const tick = (): void => {
      this.#timer = null;
      this.#run(this.#core.tick(clock()));
    };
    // A timer may fire a little early by this clock; the tick then does nothing and arms the next.
    this.#timer = setTimeout(tick, Math.max(1, Math.ceil(at - clock()))).unref();
  }

  #perform(command: LinkCommand): void {
    const { clock, onWord, hello, log } = this.#options;
    switch (command.kind) {
      case "dial":
        return this.#dial(command.dial);
      case "drop":
        return this.#drop();
      case "hello":
        return this.#send({ t: "hello", v: 1, ...hello() });
      case "ping":
        this.#socket?.send(PING, ignore);
        return;
      case "look":
        return this.#run(this.#core.looked(this.snapshot(), clock()));
      case "snapshot":
        this.#send(command.frame);
        return this.#tellFailed();
      case "usage":
        return this.#send(command.frame);
      case "read":
        return void this.#read();
      case "acknowledge":
        return void this.#acknowledge(command.epoch, command.upTo);
      case "ledger-behind":
        log.error({ event: "ledger-behind", epoch: command.epoch, numbers: command.calls });
        return;
      case "word":
        return onWord(command.frame);
      case "tell":
        return linkLog(log, command.end);
      case "bye":
        return this.#bye();
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
      handshakeTimeout: DIAL_MS,
      maxPayload: MAX_FRAME_BYTES,
      perMessageDeflate: false,
      followRedirects: false,
    });
    this.#socket = socket;
    let cause = "";
    const end = (why: LinkEnd): void => {
      if (this.#socket === socket) this.#socket = null;
      socket.terminate();
      this.#run(this.#core.ended(dial, why, clock()));
    };
    const faults = new Set<string>();
    socket.on("open", () => this.#run(this.#core.opened(dial, clock())));
    socket.on("message", (data: RawData, isBinary: boolean) => this.#take(dial, data, isBinary, faults));
    socket.on("unexpected-response", (_request, response) => {
      response.destroy();
      end({ kind: "refused", status: response.statusCode ?? 0 });
    });
    socket.on("error", (error: NodeJS.ErrnoException) => (cause = error.code ?? "ERROR"));
    socket.on("close", (code) =>
      // 1006: no closing word came; whoever cut it isn't known.
      end(cause !== "" || code === 1006 ? { kind: "unreachable", cause } : { kind: "closed", code }),
    );
  }

  #take(dial: number, data: RawData, isBinary: boolean, faults: Set<string>): void {
    const { clock, log } = this.#options;
    const text = !isBinary && Buffer.isBuffer(data) ? data.toString("utf8") : null;
    if (text === PONG) {
      this.#core.heard(dial, clock());
      return this.#arm();
    }
    const frame =
      text === null ? { ok: false as const, reason: "the frame isn't text" } : readFrame(EdgeFrame, text);
    if (frame.ok) return this.#run(this.#core.frame(dial, frame.value, clock()));
    if (faults.size >= MAX_FAULTS_TOLD || faults.has(frame.reason)) return;
    faults.add(frame.reason);
    log.warn({ event: "link-frame", reason: frame.reason });
  }

  #send(frame: AgentFrame): void {
    // Whether it arrived is known by what comes back; a socket that can't send tells it by closing.
    this.#socket?.send(JSON.stringify(frame), ignore);
  }

  #tellFailed(): void {
    const now = this.#options.clock();
    while (this.#failed.length > 0) {
      const calls = this.#failed
        .splice(0, MAX_FAILED_CALLS)
        .map(({ at, ...call }) => ({ ...call, agoMs: Math.max(0, Math.round(now - at)) }));
      this.#send({ t: "failed", calls });
    }
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.terminate();
  }

  async #read(): Promise<void> {
    const { journal, clock, wallClock, log } = this.#options;
    let batch: UsageBatch | null = null;
    try {
      batch = await journal.unacknowledged(MAX_BATCH_CALLS);
    } catch (error) {
      log.error({ event: "journal", reason: thrownName(error) });
    }
    const [first] = batch?.calls ?? [];
    const endedAt = first === undefined ? 0 : first.startedAt + (first.durationMs ?? 0);
    this.#run(this.#core.read(batch, Math.max(0, wallClock() - endedAt), clock()));
  }

  async #acknowledge(epoch: string, upTo: number): Promise<void> {
    await this.#options.journal.acknowledge(epoch, upTo).catch(ignore);
    this.#run(this.#core.acknowledged(this.#options.clock()));
  }

  #bye(): void {
    const socket = this.#socket;
    const gone = (): void => {
      this.#socket = null;
      this.#onFinished?.();
    };
    if (socket === null || socket.readyState !== WebSocket.OPEN) return gone();
    const timer = setTimeout(gone, FLUSH_MS);
    socket.send(JSON.stringify({ t: "bye" } satisfies AgentFrame), () => {
      clearTimeout(timer);
      socket.close(NORMAL_CLOSE);
      gone();
    });
  }
}

function ignore(): void {
  // What didn't go out, or wasn't let go, is told again.
}
