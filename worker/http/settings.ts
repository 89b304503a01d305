// Sets the edge's settings on a request. Each isolate validates them once, and logs once what is dangerous about them.
import { createMiddleware } from "hono/factory";
import type { Box } from "../../shared/fleet.ts";
import type { EdgeEnv } from "../context.ts";
import { readSettings, type Settings } from "../env.ts";
import { writeLine } from "../log.ts";
import { isLoopback } from "./https-only.ts";

export function settings(boxes: readonly Box[]) {
  let isChecked = false;
  return createMiddleware<EdgeEnv>(function readEnvironment(c, next) {
    const settings = readSettings(c.env);
    c.set("settings", settings);
    if (!isChecked) {
      isChecked = true;
      const open = boxesWithoutAccess(settings, boxes);
      if (open.length > 0) writeLine({ event: "warning", code: "access_not_set", boxes: open });
    }
    return next();
  });
}

/** Names of the boxes that are on the internet without Cloudflare Access: only their tokens protect their agents. */
export function boxesWithoutAccess({ access, boxOrigins }: Settings, boxes: readonly Box[]): string[] {
  if (access !== null) return [];
  return boxes
    .filter(({ name, origin }) => !isLoopback(new URL(boxOrigins[name] ?? origin).href))
    .map(({ name }) => name);
}
