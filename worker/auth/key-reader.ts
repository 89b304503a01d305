// Reads the key of a request. What a text resolves to is cached: a deployment sees the same few hundred texts again and
// again, and hashing one costs a promise.
import type { Context } from "hono";
import { BoundedMap } from "../../shared/bounded-map.ts";
import type { Result } from "../../shared/errors.ts";
import type { FleetConfig } from "../../shared/fleet.ts";
import type { EdgeEnv } from "../context.ts";
import { readCredential, resolveClaim, shownKey, type EnvironmentKeys, type ShownKey } from "./credential.ts";
import { isLoopback } from "../http/https-only.ts";
import { sha256Hex } from "./keyed-hash.ts";

/** Half a MiB of an isolate's 128: a text, its hash and its claim each. */
const MAX_KEYS = 1_000;

/** The key of a request, null without one, or the reason for which its text can't be a key. */
export type Shown = Result<ShownKey | null>;

export const NO_KEY: Shown = { ok: true, value: null };

/** @returns a function that reads the key of a request: at once if its text was read before */
export function keyReader(fleet: FleetConfig): (c: Context<EdgeEnv>) => Shown | Promise<Shown> {
  // A text's meaning depends on whether development keys are accepted.
  const withDevKeys = new BoundedMap<string, Shown>(MAX_KEYS);
  const plain = new BoundedMap<string, Shown>(MAX_KEYS);
  const read = async (key: string, accepted: EnvironmentKeys, known: BoundedMap<string, Shown>) => {
    const claim = resolveClaim(key, await sha256Hex(key), fleet, accepted);
    const shown: Shown = claim.ok ? { ok: true, value: shownKey(claim.value) } : claim;
    known.set(key, shown);
    return shown;
  };
  return function readKey(c) {
    const text = readCredential(c.req.header("authorization"), c.req.header("x-api-key"));
    if (!text.ok) return text;
    const { value: key } = text;
    if (key === null) return NO_KEY;
    const { devKeys: isDev, firstAdminSha256 } = c.get("settings");
    const devKeys = isDev && isLoopback(c.req.url);
    const known = devKeys ? withDevKeys : plain;
    return known.get(key) ?? read(key, { devKeys, firstAdminSha256 }, known);
  };
}
