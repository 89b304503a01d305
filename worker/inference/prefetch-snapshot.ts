// Looks at what the boxes last said: while the limiters are being asked, or else once the request is let in. The
// handler waits for it, where there is anything to wait for.
import type { Context } from "hono";
import { SINGLETON } from "../../shared/the-one.ts";
import type { EdgeEnv } from "../context.ts";
import type { FleetLive } from "../fleet/snapshot-cache.ts";

/** Once for a request, whoever is first. */
export function beginLook(live: FleetLive, c: Context<EdgeEnv>): void {
  const begun: unknown = c.get("live");
  if (begun === undefined) lookAgain(live, c);
}

/** What was seen before a body that took long says nothing any more. */
export function lookAgain(live: FleetLive, c: Context<EdgeEnv>): void {
  const boxes = async () => c.env.FLEET.getByName(SINGLETON).boxes();
  const looking = live.look({ boxes, waitUntil: (work) => c.executionCtx.waitUntil(work) });
  // A request that is refused meanwhile never comes back to it.
  if (looking instanceof Promise) looking.catch(() => undefined);
  c.set("live", looking);
}
