// The box: its servers, the calls that wait for them, and the reports of nvidia-smi and PM2. It connects the probes to the
// servers' health and restarts a server whose slot is stuck.
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import { thrownName } from "../../shared/errors.ts";
import type { Box, FleetConfig } from "../../shared/fleet.ts";
import { causeText } from "../health/cause.ts";
import type { HealthChange } from "../health/state-machine.ts";
import { Dispatch } from "./dispatch.ts";
import { LiveServer, TICK_MS } from "./server.ts";
import type { GpuProbe } from "../probes/gpu.ts";
import { gpuMemoryByServer } from "../probes/gpu-by-server.ts";
import { processOf, type Pm2Probe } from "../probes/pm2.ts";
import type { Pm2Process } from "../probes/pm2-listing.ts";
import { processParents } from "../probes/process-parents.ts";
import { recentRestarts, restartDue } from "../slots/stuck-slot-restart.ts";
import type { Upstream } from "./upstream-sockets.ts";

/** Intervals of PM2's listing and of the checks that depend on it. */
const PM2_FAST_MS = 500;
const PM2_STEADY_MS = 5_000;
const WATCH_MS = 1_000;

const KNOWN_POLL_MS = 10;

const SLOTS_UNKNOWN = "it doesn't answer /slots: was it started with --slots?";

/** Interval of the check for another agent of this box: both are alive for as long as a drain takes. */
const SHARED_MS = 2_000;

export interface LiveBoxOptions {
  readonly box: Box;
  readonly upstreams: ReadonlyMap<number, Upstream>;
  readonly llamaApiKey: string;
  readonly fleet: Pick<FleetConfig, "queueSharePerKey">;
  /** @see LiveServerOptions.healthTimeoutMs */
  readonly healthTimeoutMs?: number | undefined;
  /** Null if the servers don't use this machine's card (simulators on a developer's machine). */
  readonly gpu: GpuProbe | null;
  readonly pm2: Pick<Pm2Probe, "list" | "restart"> | null;
  readonly onAbortProved: (port: number, tookMs: number) => void;
  /** Whether another agent process of ours leases the same slots. */
  readonly isShared: () => boolean;
  readonly log: Logger;
  /** Monotonic milliseconds. */
  readonly clock: () => number;
}

export class LiveBox {
  readonly servers: ReadonlyMap<number, LiveServer>;
  readonly dispatch: Dispatch;
  readonly #options: LiveBoxOptions;
  #listed: readonly Pm2Process[] | null = null;
  #listedAt = -Infinity;
  #sharedCheckedAt = -Infinity;
  #watching = false;
  #watchedAt = -Infinity;
  /** The one clock of the servers' probes, the queue and PM2's listing. */
  #clock: NodeJS.Timeout | null = null;
  /** When each server was restarted for a stuck slot. */
  readonly #restarts = new Map<number, number[]>();
  /** Servers whose PM2 name other processes have too. */
  readonly #duplicates = new Set<number>();

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
          onSlotsUnknown: () => options.log.error({ event: "slots-unknown", port, why: SLOTS_UNKNOWN }),
          onProved: ({ tookMs }) => options.onAbortProved(port, tookMs),
          onSlots: (_server, readings, askedAt) => this.dispatch.shown(port, readings, askedAt),
          onFault: (_server, error) => this.#logFault(error, port),
        }),
      ]),
    );
    this.dispatch = new Dispatch(this.servers, options.fleet.queueSharePerKey, clock);
  }

  start(): void {
    this.#options.gpu?.start();
    this.#clock = setInterval(() => this.#tick(), TICK_MS).unref();
    this.#tick();
  }

  #tick(): void {
    for (const server of this.servers.values()) server.tick();
    try {
      this.dispatch.check();
    } catch (error) {
      this.#logFault(error, null);
    }
    void this.#watch();
  }

  /** Resolves once every server has been probed, or after `withinMs`. */
  async known(withinMs: number): Promise<void> {
    const end = this.#options.clock() + withinMs;
    while (this.#options.clock() < end && ![...this.servers.values()].every((server) => server.known)) {
      await pause(KNOWN_POLL_MS);
    }
  }

  async stop(): Promise<void> {
    if (this.#clock !== null) clearInterval(this.#clock);
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
          why: causeText(change.cause),
          lasted_ms: Math.round(change.lastedMs),
        });
        if (change.to === "stalled") this.dispatch.stalled(port, null);
        return;
      case "cause":
        return log.info({ event: "health", port, state: change.state, why: causeText(change.cause) });
      case "restarted":
        return log.warn({ event: "restarted", port, restarts: change.restarts });
      case "slot-stuck":
        log.warn({ event: "slot-stuck", port, slot: change.slot });
        return this.dispatch.stalled(port, change.slot);
      case "slot-freed":
        return log.info({ event: "slot-freed", port, slot: change.slot });
    }
  }

  /** Runs the checks that concern all servers, one round at a time. */
  async #watch(): Promise<void> {
    const now = this.#options.clock();
    if (this.#watching || now - this.#watchedAt < PM2_FAST_MS) return;
    this.#watching = true;
    this.#watchedAt = now;
    try {
      await this.#readPm2();
      this.#checkShared();
      // PM2 replies once the old process has exited, which can take a minute: the next rounds don't wait for that.
      for (const server of this.servers.values()) {
        void this.#restartIfStuck(server).catch((error: unknown) => this.#logFault(error, server.port));
      }
    } catch (error) {
      this.#logFault(error, null);
    } finally {
      this.#watching = false;
    }
  }

  /** An exception of ours ends one round; the next one begins as usual. */
  #logFault(error: unknown, port: number | null): void {
    this.#options.log.error({ event: "probe-failed", port, reason: thrownName(error) });
  }

  #checkShared(): void {
    const { isShared, clock } = this.#options;
    if (clock() - this.#sharedCheckedAt < SHARED_MS) return;
    this.#sharedCheckedAt = clock();
    const shared = isShared();
    for (const server of this.servers.values()) server.share(shared);
  }

  async #readPm2(): Promise<void> {
    const { pm2, gpu, clock } = this.#options;
    const changing = [...this.servers.values()].some((server) => !server.usable);
    const pace = changing ? PM2_FAST_MS : pm2 === null ? WATCH_MS : PM2_STEADY_MS;
    if (clock() - this.#listedAt < pace) return;
    this.#listedAt = clock();
    if (pm2 !== null) {
      this.#listed = await pm2.list();
      for (const server of this.servers.values()) {
        const process = processOf(this.#listed, server.upstream.process);
        server.observe({ kind: "pm2", process });
        this.#reportDuplicates(server.port, server.upstream.process.name, process);
      }
    }
    if (gpu !== null) await this.#readMemory(gpu);
  }

  /** Reports processes that have a server's name and aren't its own: `pm2 restart NAME` would restart them too. */
  #reportDuplicates(port: number, name: string, own: Pm2Process | null): void {
    const others = (this.#listed ?? []).filter((process) => process.name === name && process !== own);
    if (others.length > 0 && !this.#duplicates.has(port)) {
      const ids = { own_id: own?.pmId ?? null, other_ids: others.map(({ pmId }) => pmId) };
      const fix = "remove the others: pm2 delete <id>, then pm2 save";
      this.#options.log.warn({ event: "pm2-duplicate", port, name, ...ids, fix });
    }
    if (others.length > 0) this.#duplicates.add(port);
    else this.#duplicates.delete(port);
  }

  async #readMemory(gpu: GpuProbe): Promise<void> {
    const { gpus, processes, processesReadAt } = gpu.latest();
    if (processesReadAt === null) return;
    const names = [...this.servers.values()].map((server): [string, number | null] => {
      const { process } = server.upstream;
      return [process.name, processOf(this.#listed, process)?.pid ?? null];
    });
    const parents = await processParents((processes ?? []).map(({ pid }) => pid));
    const used = gpuMemoryByServer({ gpus, processes, servers: new Map(names), parents });
    for (const server of this.servers.values()) {
      const gib = used.get(server.upstream.process.name) ?? null;
      server.observe({ kind: "gpu", gib, readAt: processesReadAt });
    }
  }

  async #restartIfStuck(server: LiveServer): Promise<void> {
    const { pm2, clock, log } = this.#options;
    const now = clock();
    const before = recentRestarts(this.#restarts.get(server.port) ?? [], now);
    const stuckForMs = restartDue(server.stuckSlots(), server.slots, before, now);
    if (stuckForMs === null || pm2 === null) return;
    this.#restarts.set(server.port, [...before, now]);
    const outcome = await pm2.restart(server.upstream.process);
    log.warn({
      event: "restart-for-stuck-slot",
      port: server.port,
      stuck_ms: Math.round(stuckForMs),
      outcome,
    });
  }
}
