// The box as it is now: its servers, who waits for them, and what nvidia-smi and PM2 say of them. It wires
// the probes to the servers' health and does the one thing that health asks for: a restart.
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import type { Box } from "../shared/fleet.ts";
import { causeInWords } from "./health-cause.ts";
import type { HealthChange } from "./server-health.ts";
import { Dispatch } from "./dispatch.ts";
import { LiveServer } from "./live-server.ts";
import type { GpuProbe } from "./probes/gpu.ts";
import { gpuMemoryOfServers } from "./probes/gpu-servers.ts";
import { processNamed, type Pm2Probe } from "./probes/pm2.ts";
import type { Pm2Process } from "./probes/pm2-listing.ts";
import { processParents } from "./probes/process-parents.ts";
import { recentRestarts, restartVerdict } from "./restart-verdict.ts";
import type { Upstream } from "./upstreams.ts";

/** Paces of PM2's listing and of what is derived from it, milliseconds. */
const PM2_FAST_MS = 500;
const PM2_STEADY_MS = 5_000;
const WATCH_MS = 1_000;

const KNOWN_POLL_MS = 10;

const SLOTS_UNTOLD =
  "it doesn't answer /slots: LLAMA_API_KEY isn't what it was started with, or it lacks --slots";

/** How often another agent of this box is looked for, milliseconds: both are alive for as long as a drain takes. */
const SHARED_MS = 2_000;

export interface LiveBoxOptions {
  readonly box: Box;
  readonly upstreams: ReadonlyMap<number, Upstream>;
  readonly llamaApiKey: string;
  /** @see LiveServerOptions.healthTimeoutMs */
  readonly healthTimeoutMs?: number;
  /** Null where this machine's card isn't the servers' (simulators on a developer's machine). */
  readonly gpu: GpuProbe | null;
  readonly pm2: Pm2Probe | null;
  readonly onAbortProved: (port: number, tookMs: number) => void;
  /** Whether another agent process of ours leases the same slots. */
  readonly isShared: () => Promise<boolean>;
  readonly log: Logger;
  /** Monotonic, milliseconds. */
  readonly clock: () => number;
}

export class LiveBox {
  readonly servers: ReadonlyMap<number, LiveServer>;
  readonly dispatch: Dispatch;
  readonly #options: LiveBoxOptions;
  #listed: readonly Pm2Process[] | null = null;
  #listedAt = -Infinity;
  #sharedAskedAt = -Infinity;
  #watching = false;
  readonly #timer: NodeJS.Timeout;
  /** When each server was restarted for a stuck slot. */
  readonly #restarts = new Map<number, number[]>();

  constructor(options: LiveBoxOptions) {
    this.#options = options;
    const { upstreams, llamaApiKey: apiKey, healthTimeoutMs, clock } = options;
    this.servers = new Map(
      [...upstreams].map(([port, upstream]) => [
        port,
        new LiveServer({
          upstream,
          apiKey,
          healthTimeoutMs,
          clock,
          onChange: (server) => this.dispatch.changed(server),
          onHealth: (server, change) => this.#onHealth(server, change),
          onSlotsUntold: () => options.log.error({ event: "slots-unknown", port, why: SLOTS_UNTOLD }),
          onProved: ({ tookMs }) => options.onAbortProved(port, tookMs),
        }),
      ]),
    );
    this.dispatch = new Dispatch(this.servers, clock);
    this.#timer = setInterval(() => void this.#watch(), PM2_FAST_MS);
    this.#timer.unref();
  }

  start(): void {
    this.#options.gpu?.start();
    for (const server of this.servers.values()) server.start();
    void this.#watch();
  }

  /** Once every server has been looked at, or `withinMs` is over. */
  async known(withinMs: number): Promise<void> {
    const end = this.#options.clock() + withinMs;
    while (this.#options.clock() < end && ![...this.servers.values()].every((server) => server.known)) {
      await pause(KNOWN_POLL_MS);
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.dispatch.stop();
    for (const server of this.servers.values()) server.stop();
    await this.#options.gpu?.stop();
  }

  #onHealth(server: LiveServer, change: HealthChange): void {
    const { log } = this.#options;
    const { port } = server;
    switch (change.kind) {
      case "state":
        log.info({
          event: "health",
          port,
          from: change.from,
          to: change.to,
          why: causeInWords(change.cause),
          lasted_ms: Math.round(change.lastedMs),
        });
        if (change.to === "stalled") this.dispatch.stalled(port, null);
        return;
      case "cause":
        return log.info({ event: "health", port, state: change.state, why: causeInWords(change.cause) });
      case "restarted":
        return log.warn({ event: "restarted", port, restarts: change.restarts });
      case "slot-stuck":
        log.warn({ event: "slot-stuck", port, slot: change.slot });
        return this.dispatch.stalled(port, change.slot);
      case "slot-freed":
        return log.info({ event: "slot-freed", port, slot: change.slot });
    }
  }

  /** What is looked at from outside the servers, once at a time. */
  async #watch(): Promise<void> {
    if (this.#watching) return;
    this.#watching = true;
    try {
      await this.#askPm2();
      await this.#askShared();
      for (const server of this.servers.values()) await this.#restartIfStuck(server);
    } finally {
      this.#watching = false;
    }
  }

  async #askShared(): Promise<void> {
    const { isShared, clock } = this.#options;
    if (clock() - this.#sharedAskedAt < SHARED_MS) return;
    this.#sharedAskedAt = clock();
    const shared = await isShared();
    for (const server of this.servers.values()) server.share(shared);
  }

  async #askPm2(): Promise<void> {
    const { pm2, gpu, clock } = this.#options;
    const changing = [...this.servers.values()].some((server) => !server.usable);
    const pace = changing ? PM2_FAST_MS : pm2 === null ? WATCH_MS : PM2_STEADY_MS;
    if (clock() - this.#listedAt < pace) return;
    this.#listedAt = clock();
    if (pm2 !== null) {
      this.#listed = await pm2.list();
      for (const server of this.servers.values()) {
        server.hear({ kind: "pm2", word: processNamed(this.#listed, server.upstream.server.pm2) });
      }
    }
    if (gpu !== null) await this.#readMemory(gpu);
  }

  async #readMemory(gpu: GpuProbe): Promise<void> {
    const { gpus, processes, processesReadAt } = gpu.latest();
    if (processesReadAt === null) return;
    const names = [...this.servers.values()].map((server): [string, number | null] => {
      const { pm2 } = server.upstream.server;
      return [pm2, processNamed(this.#listed, pm2)?.pid ?? null];
    });
    const parents = await processParents((processes ?? []).map(({ pid }) => pid));
    const held = gpuMemoryOfServers({ gpus, processes, servers: new Map(names), parents });
    for (const server of this.servers.values()) {
      const gib = held.get(server.upstream.server.pm2) ?? null;
      server.hear({ kind: "gpu", gib, readAt: processesReadAt });
    }
  }

  async #restartIfStuck(server: LiveServer): Promise<void> {
    const { pm2, clock, log } = this.#options;
    const now = clock();
    const before = recentRestarts(this.#restarts.get(server.port) ?? [], now);
    const verdict = restartVerdict(server.stuckSlots(), server.slots, before, now);
    if (verdict.kind !== "restart" || pm2 === null) return;
    this.#restarts.set(server.port, [...before, now]);
    const outcome = await pm2.restart(server.upstream.server.pm2);
    log.warn({
      event: "restart-for-stuck-slot",
      port: server.port,
      stuck_ms: Math.round(verdict.stuckForMs),
      outcome,
    });
  }
}
