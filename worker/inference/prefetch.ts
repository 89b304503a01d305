// Starts what a request needs beside its key: the body and, for a call, the fleet snapshot. Both begin while the
// limiters are asked, or once the request is admitted; a request that is refused at once has nothing read.
import type { Context } from "hono";
import type { Result } from "../../shared/errors.ts";
import type { EdgeEnv } from "../context.ts";
import type { SnapshotCache } from "../fleet/snapshot-cache.ts";
import { readAdminBody } from "../http/admin-input.ts";
import { readBody } from "../http/json-body.ts";
import type { Prefetch } from "../limits/authenticate.ts";
import { fleetObject } from "../stubs.ts";

type ReadBody = (request: Request) => Promise<Result<Uint8Array>>;

export function prefetchCall(snapshots: SnapshotCache): Prefetch {
  return {
    begin: (c) => {
      beginBody(c, readBody);
      const begun: unknown = c.get("snapshot");
      if (begun === undefined) beginSnapshot(c, snapshots);
    },
    ready: async (c) => c.get("body"),
    // The snapshot of before a slow body is too old.
    renew: (c) => beginSnapshot(c, snapshots),
  };
}

/** The body of an operator's change. */
export const PREFETCH_ADMIN: Prefetch = {
  begin: (c) => beginBody(c, readAdminBody),
  ready: async (c) => c.get("body"),
  renew: () => undefined,
};

function beginBody(c: Context<EdgeEnv>, read: ReadBody): void {
  const begun: unknown = c.get("body");
  if (begun === undefined) c.set("body", read(c.req.raw));
}

function beginSnapshot(c: Context<EdgeEnv>, snapshots: SnapshotCache): void {
  const boxes = async () => fleetObject(c.env).boxes();
  const snapshot = snapshots.read({ boxes, waitUntil: (work) => c.executionCtx.waitUntil(work) });
  // A request that is refused meanwhile never awaits it.
  if (snapshot instanceof Promise) snapshot.catch(() => undefined);
  c.set("snapshot", snapshot);
}
