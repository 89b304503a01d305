// Reads what a request needs besides its key. The fleet snapshot is read while the limiters are called; the body only once the
// key is known to be good, so that no caller without one fills the isolate's memory.
import type { Context } from "hono";
import type { FleetConfig } from "../../shared/fleet.ts";
import type { EdgeEnv } from "../context.ts";
import { readSnapshot, type SnapshotCache } from "../fleet/snapshot-cache.ts";
import { readAdminBody } from "../http/admin-input.ts";
import type { BodyMemory } from "../http/body-memory.ts";
import { readBody } from "../http/json-body.ts";
import { PhaseTimer } from "../http/timeout.ts";
import type { Prefetch } from "../limits/authenticate.ts";

export function prefetchCall(
  snapshots: SnapshotCache,
  memory: BodyMemory,
  { maxBodyKib }: Pick<FleetConfig, "maxBodyKib">,
  clock: () => number,
): Prefetch {
  return {
    begin: (c) => beginSnapshot(c, snapshots),
    async readBody(c) {
      const { grow, release } = memory.hold();
      const timer = new PhaseTimer(clock);
      c.set("timer", timer);
      const body = readBody(c.req.raw, { maxBytes: maxBodyKib * 1024, grow, limit: timer.limit });
      c.set("body", body);
      await body;
      return () => {
        timer.end();
        release();
      };
    },
  };
}

/** For an operator's change. */
export const PREFETCH_ADMIN: Prefetch = {
  begin: () => undefined,
  async readBody(c) {
    const body = readAdminBody(c.req.raw);
    c.set("body", body);
    await body;
    return () => undefined;
  },
};

function beginSnapshot(c: Context<EdgeEnv>, snapshots: SnapshotCache): void {
  const snapshot = readSnapshot(c, snapshots);
  // A request that is refused in the meantime never awaits it.
  if (snapshot instanceof Promise) snapshot.catch(() => undefined);
  c.set("snapshot", snapshot);
}
