// Which key a request shows: read from its headers, resolved to whom it may be. Pure but for the hash, which
// is passed in; whether the key is good only its object can say.
import { apiKeyId } from "../../shared/api-key.ts";
import { ok, refuse, type Result } from "../../shared/errors.ts";
import type { FleetConfig } from "../../shared/fleet.ts";
import { legacyKey } from "./built-in-keys.ts";
import { plainRecord, type KeyRecord } from "../../shared/principal.ts";
import { ANONYMOUS, DEV_ADMIN_KEY, DEV_KEY } from "../../shared/unlisted-keys.ts";

/** A key long enough for any legacy one; a longer header is an attack on the hash. */
const MAX_KEY_LENGTH = 512;

const HOW = "Send it as 'Authorization: Bearer <key>' or 'x-api-key: <key>'.";

/** The key's text, or null where the request shows none. */
export function readCredential(
  authorization: string | undefined,
  apiKey: string | undefined,
): Result<string | null> {
  const bearer = authorization === undefined ? null : /^Bearer +(\S+) *$/i.exec(authorization);
  if (authorization !== undefined && bearer === null) {
    return refuse("invalid_key", `The Authorization header isn't 'Bearer <key>'. ${HOW}`);
  }
  const shown = bearer?.[1] ?? apiKey ?? null;
  if (shown === null || shown === "") return ok(null);
  if (bearer !== null && apiKey !== undefined && apiKey !== shown) {
    return refuse("invalid_key", "Authorization and x-api-key show two different keys. Send one of them.");
  }
  if (shown.length > MAX_KEY_LENGTH) return refuse("invalid_key", INVALID);
  return ok(shown);
}

/** Says the same of a key that never was, was mistyped, or was revoked. */
export const INVALID =
  "This API key is not valid. Check it for missing characters, or ask whoever gave it to you for a new one.";

/** Said where a request shows no key and needs one. */
export const MISSING = `This request carries no API key. ${HOW} Keys are handed out by whoever runs this service.`;

/** Who a key may be: the object that counts it, and the record of those that no object stores. */
export interface Claim {
  readonly keyId: string;
  readonly secretHash: string;
  readonly standing: KeyRecord | null;
  /** The deployment's first admin key, which counts only until another admin key took its place. */
  readonly first: boolean;
  /** Told in a `Warning` header: a key that will stop working. */
  readonly warning: string | null;
}

/** The development keys' records: what they may, by their name. */
const DEV_KEYS: Readonly<Record<string, KeyRecord["scopes"]>> = {
  [DEV_KEY]: ["infer"],
  [DEV_ADMIN_KEY]: ["admin"],
};

/** What the environment lets in beside the keys that were made. */
export interface Vouched {
  /** Whether the development keys count here: `DEV_KEYS=1` and a loopback host. */
  readonly devKeys: boolean;
  /** SHA-256 of the first admin key, hexadecimal; null for none. */
  readonly firstAdminSha256: string | null;
}

/**
 * Resolves a key's text. Legacy keys are looked at first: they can have any form, `dev-key`'s among them.
 * @param hash SHA-256 of the text, hexadecimal.
 */
export function resolveClaim(
  key: string,
  hash: string,
  fleet: Pick<FleetConfig, "legacy" | "limits">,
  { devKeys, firstAdminSha256 }: Vouched,
): Result<Claim> {
  const perSecond = fleet.limits.perKeyPerSecond;
  const plain = { secretHash: hash, standing: null, first: false, warning: null };
  const line = fleet.legacy.keys.find(({ sha256 }) => sha256 === hash);
  if (line !== undefined) {
    const { keyId, record } = legacyKey(line, fleet);
    const warning = "this key is of the old system and will stop working; ask for a new one";
    return ok({ ...plain, keyId, standing: record, warning });
  }
  const devScopes = devKeys && Object.hasOwn(DEV_KEYS, key) ? DEV_KEYS[key] : undefined;
  if (devScopes !== undefined) {
    const standing = plainRecord(key, perSecond, { scopes: devScopes, addressExempt: true });
    return ok({ ...plain, keyId: key, standing });
  }
  const keyId = apiKeyId(key);
  if (keyId === null) return refuse("invalid_key", INVALID);
  if (hash !== firstAdminSha256) return ok({ ...plain, keyId });
  const scopes: KeyRecord["scopes"] = ["infer", "admin"];
  const standing = plainRecord("first admin key", perSecond, { scopes, addressExempt: true });
  return ok({ ...plain, keyId, standing, first: true });
}

/** The principal of calls without a key, where the fleet file still lets them in. */
export function anonymousRecord(
  fleet: Pick<FleetConfig, "legacy" | "limits">,
  now: number,
): { record: KeyRecord; warning: string } | null {
  const { anonymous } = fleet.legacy;
  if (anonymous === null || now >= Date.parse(`${anonymous.until}T00:00:00Z`)) return null;
  return {
    record: plainRecord(ANONYMOUS, fleet.limits.perKeyPerSecond, { agents: anonymous.agents }),
    warning: `calls without an API key are refused from ${anonymous.until} on; ask for a key`,
  };
}
