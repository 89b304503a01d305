// Reads the key of a request from its headers and resolves its text to a key id. Pure, the hash is passed in. Only the
// key's object can confirm that the key is good.
import { apiKeyId } from "../../shared/api-key.ts";
import { ok, refuse, type Result } from "../../shared/errors.ts";
import type { FleetConfig } from "../../shared/fleet.ts";
import { plainRecord, type KeyRecord } from "../../shared/principal.ts";
import { ANONYMOUS, DEV_ADMIN_KEY, DEV_KEY } from "../../shared/keys.ts";

/** Long enough for any legacy key; a longer header is an attack on the hash. */
const MAX_KEY_LENGTH = 512;

const HOW = "Send it as 'Authorization: Bearer <key>' or 'x-api-key: <key>'.";

/** The key's text; null if the request has none. */
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
    return refuse("invalid_key", "Authorization and x-api-key contain two different keys. Send one of them.");
  }
  if (shown.length > MAX_KEY_LENGTH) return refuse("invalid_key", INVALID);
  return ok(shown);
}

/** The same text for a key that never existed, was mistyped, or was revoked. */
export const INVALID =
  "This API key is not valid. Check it for missing characters, or ask the service operator for a new one.";

/** For a request without a key on a route that needs one. */
export const MISSING = `This request has no API key. ${HOW} The service operator issues keys.`;

/** What a key's text claims: the object that counts it, and the record if no object stores one. */
export interface Claim {
  readonly keyId: string;
  readonly secretHash: string;
  readonly builtInRecord: KeyRecord | null;
  /** The deployment's first admin key, which is valid until another admin key replaces it. */
  readonly first: boolean;
  /** Text of the `Warning` header of a key that will stop working. */
  readonly warning: string | null;
}

/** Scopes of the development keys, by their text. */
const DEV_KEYS: Readonly<Record<string, KeyRecord["scopes"]>> = {
  [DEV_KEY]: ["infer"],
  [DEV_ADMIN_KEY]: ["infer", "admin"],
};

/** A key as a request sends it. */
export interface ShownKey {
  readonly claim: Claim;
  /** A lease confirms one secret only: another secret of the same id needs a lease request of its own. */
  readonly name: string;
}

export function shownKey(claim: Claim): ShownKey {
  return { claim, name: `${claim.keyId} ${claim.secretHash}` };
}

/** Keys that the environment accepts besides those that were created. */
export interface EnvironmentKeys {
  /** Whether the development keys are accepted: `DEV_KEYS=1` and a loopback host. */
  readonly devKeys: boolean;
  /** SHA-256 of the first admin key, in hexadecimal; null if there is none. */
  readonly firstAdminSha256: string | null;
}

/**
 * Resolves a key's text. Legacy keys come first, because they can have any form, that of `dev-key` included.
 * @param hash SHA-256 of the text, in hexadecimal
 */
export function resolveClaim(
  key: string,
  hash: string,
  fleet: Pick<FleetConfig, "legacy" | "limits">,
  { devKeys, firstAdminSha256 }: EnvironmentKeys,
): Result<Claim> {
  const perSecond = fleet.limits.perKeyPerSecond;
  const plain = { secretHash: hash, builtInRecord: null, first: false, warning: null };
  const line = fleet.legacy.keys.find(({ sha256 }) => sha256 === hash);
  if (line !== undefined) {
    const { keyId, record } = legacyKey(line, fleet);
    const warning = `this key is from the old system and is refused from ${line.until} on; ask for a new one`;
    return ok({ ...plain, keyId, builtInRecord: record, warning });
  }
  const devScopes = devKeys && Object.hasOwn(DEV_KEYS, key) ? DEV_KEYS[key] : undefined;
  if (devScopes !== undefined) {
    const builtInRecord = plainRecord(key, perSecond, { scopes: devScopes, addressExempt: true });
    return ok({ ...plain, keyId: key, builtInRecord });
  }
  const keyId = apiKeyId(key);
  if (keyId === null) return refuse("invalid_key", INVALID);
  if (hash !== firstAdminSha256) return ok({ ...plain, keyId });
  const scopes: KeyRecord["scopes"] = ["infer", "admin"];
  const builtInRecord = plainRecord("first admin key", perSecond, { scopes, addressExempt: true });
  return ok({ ...plain, keyId, builtInRecord, first: true });
}

/** Prefix of the ids of legacy keys. No other key can have such an id: the ids that the service creates contain no `_`. */
export const LEGACY_PREFIX = "legacy_";

interface LegacyKey {
  readonly keyId: string;
  readonly record: KeyRecord;
}

/** Keys of the old system that the fleet file keeps valid until a date. No object stores anything of them. */
export function legacyKeys(fleet: Pick<FleetConfig, "legacy" | "limits">): LegacyKey[] {
  return fleet.legacy.keys.map((line) => legacyKey(line, fleet));
}

function legacyKey(
  { name, sha256, agents, until }: FleetConfig["legacy"]["keys"][number],
  { limits }: Pick<FleetConfig, "limits">,
): LegacyKey {
  return {
    keyId: `${LEGACY_PREFIX}${sha256.slice(0, 16)}`,
    record: plainRecord(name, limits.perKeyPerSecond, { agents, expiresAt: Date.parse(until) }),
  };
}

/** The principal of calls without a key; null if the fleet file doesn't accept them, or no longer. */
export function anonymousRecord(
  fleet: Pick<FleetConfig, "legacy" | "limits">,
  now: number,
): { record: KeyRecord; warning: string } | null {
  const { anonymous } = fleet.legacy;
  if (anonymous === null || now >= Date.parse(anonymous.until)) return null;
  return {
    record: plainRecord(ANONYMOUS, fleet.limits.perKeyPerSecond, { agents: anonymous.agents }),
    warning: `calls without an API key are refused from ${anonymous.until} on; ask for a key`,
  };
}
