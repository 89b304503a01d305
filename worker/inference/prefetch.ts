// Starts to read the body and, for a model call, the fleet snapshot: while the limiters are called, or once the request
// is admitted. For a request that is refused at once, nothing is read.
import type { Context } from "hono";
import type { Result } from "../../shared/errors.ts";
import type { EdgeEnv } from "../context.ts";
import { readSnapshot, type SnapshotCache } from "../fleet/snapshot-cache.ts";
import { readAdminBody } from "../http/admin-input.ts";
import { readBody } from "../http/json-body.ts";
import type { Prefetch } from "../limits/authenticate.ts";

type ReadBody = (request: Request) => Promise<Result<Uint8Array>>;

export function prefetchCall(snapshots: SnapshotCache): Prefetch {
  return {
    begin: (c) => {
      beginBody(c, readBody);
      const started: unknown = c.get("snapshot");
      if (started === undefined) beginSnapshot(c, snapshots);
    },
    ready: async (c) => c.get("body"),
    // After a slow body, the snapshot is too old.
    renew: (c) => beginSnapshot(c, snapshots),
  };
}

/** For an operator's change. */
export const PREFETCH_ADMIN: Prefetch = {
  begin: (c) => beginBody(c, readAdminBody),
  ready: async (c) => c.get("body"),
  renew: () => undefined,
};

function beginBody(c: Context<EdgeEnv>, read: ReadBody): void {
  const started: unknown = c.get("body");
  if (started === undefined) c.set("body", read(c.req.raw));
}

function beginSnapshot(c: Context<EdgeEnv>, snapshots: SnapshotCache): void {
  const snapshot = readSnapshot(c, snapshots);
  // A request that is refused in the meantime never awaits it.
  if (snapshot instanceof Promise) snapshot.catch(() => undefined);
  c.set("snapshot", snapshot);
}
