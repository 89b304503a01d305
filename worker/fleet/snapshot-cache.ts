// Caches the fleet snapshot in an isolate; refreshes it in the background, so that hardly any call waits for it.
// Without a snapshot, calls follow the fleet file: losing the link, or the object, never stops inference.
import type { Context } from "hono";
import type { EdgeEnv } from "../context.ts";
import { fleetObject } from "../stubs.ts";
import { reportingAgent, type ActiveAgent, type BoxReport } from "./object/box-reports.ts";
import { withTimeout } from "../http/timeout.ts";
import { UNKNOWN_FLEET, type BoxSnapshot, type FleetSnapshot, type ServerSnapshot } from "./snapshot.ts";

/** Up to this age a snapshot is used as it is, and a call may be refused because of it. */
const FRESH_MS = 2_000;

/** Up to this age a snapshot is used while a new one is requested in the background. */
const USABLE_MS = 10_000;

/** How long a call waits for a new snapshot if the cached one is older than that. */
const WAIT_MS = 100;

/** A refresh that hasn't ended by now was cut off together with the request it ran in. */
const LOST_MS = 5_000;

/** Pause after a failed refresh: an object that is unreachable must not cost every call its 100 ms. */
const RETRY_MS = 1_000;

/** An agent with calls reports every second. An older report shows what was, which is no reason to refuse a call. */
const CURRENT_MS = 5_000;

/** How a request reaches the fleet object. */
export interface SnapshotSource {
  readonly boxes: () => Promise<readonly BoxReport[]>;
  readonly waitUntil: (work: Promise<unknown>) => void;
}

export class SnapshotCache {
  readonly #clock: () => number;
  #refreshedAt = -Infinity;
  #noRefreshBefore = -Infinity;
  #boxes = new Map<string, BoxSnapshot | null>();

  /** @param clock milliseconds since 1970, as the isolate sees it. */
  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** Returns the snapshot to decide with; a promise only if the cached one is too old. */
  read(source: SnapshotSource): FleetSnapshot | Promise<FleetSnapshot> {
    const now = this.#clock();
    const age = now - this.#refreshedAt;
    if (age >= 0 && age <= FRESH_MS) return { boxes: this.#boxes, fresh: true };
    const mayRefresh = now >= this.#noRefreshBefore || now < this.#noRefreshBefore - LOST_MS;
    const usable = age >= 0 && age <= USABLE_MS;
    if (usable && mayRefresh) source.waitUntil(this.#refresh(source, now));
    if (usable) return { boxes: this.#boxes, fresh: false };
    return mayRefresh ? this.#refreshed(source, now) : UNKNOWN_FLEET;
  }

  /** Counts a call that is sent to a server, so that the next decision sees it a little fuller. */
  sent(box: string, port: number): void {
    const server = this.#boxes.get(box)?.servers.get(port);
    if (server !== undefined) server.sent += 1;
  }

  /** Forgets a box that broke a connection: others come before it until the next refresh. */
  lost(box: string): void {
    if (this.#boxes.get(box)?.draining === false) this.#boxes.set(box, null);
  }

  async #refreshed(source: SnapshotSource, now: number): Promise<FleetSnapshot> {
    // Each request starts its own: the platform lets no request wait for another one's I/O.
    const refresh = this.#refresh(source, now);
    // It continues after the call stops waiting.
    source.waitUntil(refresh);
    return (await withTimeout(refresh, WAIT_MS)) === true
      ? { boxes: this.#boxes, fresh: true }
      : UNKNOWN_FLEET;
  }

  /** Never rejects: without an answer the cached snapshot ages. */
  async #refresh(source: SnapshotSource, now: number): Promise<boolean> {
    this.#noRefreshBefore = now + LOST_MS;
    try {
      const reports = await source.boxes();
      this.#boxes = boxSnapshots(reports);
      this.#refreshedAt = this.#clock();
      this.#noRefreshBefore = -Infinity;
      return true;
    } catch {
      this.#noRefreshBefore = this.#clock() + RETRY_MS;
      return false;
    }
  }
}

export function boxSnapshots(reports: readonly BoxReport[]): Map<string, BoxSnapshot | null> {
  return new Map(reports.map((report) => [report.box, boxSnapshot(report)]));
}

/** The snapshot to decide a request with, by its context. */
export function readSnapshot(
  c: Context<EdgeEnv>,
  snapshots: SnapshotCache,
): FleetSnapshot | Promise<FleetSnapshot> {
  const boxes = async () => fleetObject(c.env).boxes();
  return snapshots.read({ boxes, waitUntil: (work) => c.executionCtx.waitUntil(work) });
}

/** Null if the box is silent, or was linked a moment ago. */
function boxSnapshot(report: BoxReport): BoxSnapshot | null {
  const { drained } = report;
  const reporting = reportingAgent(report);
  // An operator's drain applies to a silent box too, and before its agent has received the command.
  if (reporting === null) return drained ? { draining: true, current: true, servers: new Map() } : null;
  return {
    draining: drained || !reporting.takesCalls,
    current: drained || (reporting.agent.snapshotAgoMs ?? Infinity) <= CURRENT_MS,
    ...(reporting.snapshot.simulated === true ? { simulated: true } : {}),
    servers: new Map(serverSnapshots(reporting)),
  };
}

function serverSnapshots({ agent, snapshot }: ActiveAgent): [number, ServerSnapshot][] {
  return snapshot.servers
    .filter(({ port }) => agent.ports.includes(port))
    .map((server) => [
      server.port,
      {
        // No call can be sent to a server that hasn't reported its slots.
        state: server.slots === 0 && server.state !== "loading" ? "down" : server.state,
        free: Math.max(0, server.slots - server.busy),
        places: Math.max(0, server.places - server.waiting),
        sent: 0,
        waitMs: server.waitMs,
      },
    ]);
}
