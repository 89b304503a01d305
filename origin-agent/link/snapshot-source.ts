// Takes snapshots of the box for the edge and for `/fleet`: collects the current state of the servers, cards, queue and
// journal, and measures how fast the servers decode.
import type { Logger } from "pino";
import { thrownName } from "../../shared/errors.ts";
import type { LiveBox } from "../servers/box.ts";
import { boxSnapshot, type BoxSnapshot, type ServerInput } from "./snapshot.ts";
import type { LiveServer } from "../servers/server.ts";
import type { GpuProbe } from "../probes/gpu.ts";
import type { RecentTraffic } from "../telemetry/traffic.ts";
import { SAMPLE_MS, TokenRate } from "../telemetry/token-rate.ts";
import type { UsageJournal } from "../usage/journal.ts";

export interface SnapshotSourceOptions {
  readonly live: Pick<LiveBox, "servers" | "dispatch">;
  /** Null if this machine has none of the servers' cards. */
  readonly gpu: Pick<GpuProbe, "latest"> | null;
  readonly journal: Pick<UsageJournal, "state">;
  readonly recent: RecentTraffic;
  /** Some of the servers or cards are simulated. */
  readonly simulated: boolean;
  /** Whether the agent is shutting down or an operator drained the box. */
  readonly isDraining: () => boolean;
  readonly log: Pick<Logger, "error">;
  /** Monotonic, milliseconds. */
  readonly clock: () => number;
}

export class SnapshotSource {
  readonly #options: SnapshotSourceOptions;
  readonly #rates: ReadonlyMap<number, TokenRate>;
  readonly #timer: NodeJS.Timeout;

  constructor(options: SnapshotSourceOptions) {
    this.#options = options;
    this.#rates = new Map([...options.live.servers.keys()].map((port) => [port, new TokenRate()]));
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** A call ended on a server. @param tokens of its answer; null if unknown */
  callEnded(port: number | null, tokens: number | null): void {
    if (port !== null) this.#rates.get(port)?.ended(tokens ?? 0);
  }

  snapshot(usageBehindMs: number | null): BoxSnapshot {
    const { live, gpu, journal, recent, simulated, isDraining, clock } = this.#options;
    return boxSnapshot({
      simulated,
      draining: isDraining(),
      servers: [...live.servers.values()].map((server) => this.#serverInput(server)),
      gpus: gpu?.latest().gpus ?? null,
      traffic: recent.traffic(clock()),
      journal: journal.state,
      usageBehindMs,
    });
  }

  #serverInput(server: LiveServer): ServerInput {
    const { port, slots, upstream } = server;
    const { live, recent, clock } = this.#options;
    const { dispatch } = live;
    return {
      port,
      plannedSlots: upstream.server.slots,
      slots,
      health: server.view(),
      queue: dispatch.queueOf(port) ?? { waiting: 0, places: 0, newcomerMs: 0 },
      tokensPerSecond: this.#rates.get(port)?.perSecond ?? null,
      firstToken: recent.firstToken(port, clock()),
      continued: recent.continued(port),
    };
  }

  #sample(): void {
    const { live, clock, log } = this.#options;
    try {
      for (const [port, rate] of this.#rates) rate.sample(live.dispatch.decoding(port), clock());
    } catch (error) {
      log.error({ event: "token-rate", reason: thrownName(error) });
    }
  }
}
