// /admin/keys: creates, lists, shows, changes, rotates and revokes keys. A key's object is authoritative; the registry
// lists. Only the answer that creates a secret contains the key. /admin/audit: the actions of operators, newest first.
import type { Context } from "hono";
import { formatApiKey, KEY_ID_BYTES, KEY_SECRET_BYTES, newKeyId } from "../../shared/api-key.ts";
import { RefusedError, type Refusal, type Result } from "../../shared/errors.ts";
import type { FleetConfig } from "../../shared/fleet.ts";
import {
  AuditQuery,
  KeyChange,
  KeyId,
  KeyListQuery,
  KeyRotation,
  NewKey,
  type KeyList,
  type KeyView,
  type KeyWithSecret,
} from "../../shared/keys.ts";
import type { KeyOutcome } from "./api-key-object.ts";
import { legacyKeyView } from "./key-view.ts";
import { LEGACY_PREFIX, legacyKeys } from "../auth/credential.ts";
import { MAX_KEYS } from "../../shared/limits.ts";
import type { EdgeEnv } from "../context.ts";
import { writeLine } from "../log.ts";
import { parseAdminBody, readAdminQuery } from "../http/admin-input.ts";
import type { FleetIndex } from "../fleet/fleet-index.ts";
import { adminEnds, newRecord, recordChange } from "./key-fields.ts";
import { sha256Hex } from "../auth/keyed-hash.ts";
import { keyObject, fleetObject, registryObject } from "../stubs.ts";

type Clock = () => number;

export function createKey(index: FleetIndex, clock: Clock) {
  return async function answerCreation(c: Context<EdgeEnv>): Promise<Response> {
    const body = unwrap(parseAdminBody(unwrap(await c.get("body")), NewKey));
    const record = unwrap(newRecord(body, index, clock()));
    const id = newKeyId(crypto.getRandomValues(new Uint8Array(KEY_ID_BYTES)));
    const { key, secretHash } = await newSecret(id);
    const creation = { id, record, secretHash };
    const made = await keyObject(c.env, id).create(creation, by(c));
    if (made.kind === "full") {
      throw refused(
        `This deployment has the maximum of ${MAX_KEYS} keys. Revoke some: a new key replaces the one that was revoked first.`,
      );
    }
    if (made.kind === "taken") throw new Error("two keys got the same random id");
    return c.json({ ...made.view, key } satisfies KeyWithSecret, 201);
  };
}

export function listKeys(fleet: FleetConfig, clock: Clock) {
  return async function answerKeys(c: Context<EdgeEnv>): Promise<Response> {
    const query = unwrap(readAdminQuery(c.req.url, KeyListQuery));
    const legacy = legacyKeys(fleet).map(({ keyId, record }) => legacyKeyView(keyId, record, clock()));
    const list = await pageOfKeys(c, query, legacy);
    if (list === null)
      throw refused(
        'after: must be an existing key\'s id, such as the "next" of the previous page.',
        "after",
      );
    return c.json(list);
  };
}

export function showKey(fleet: FleetConfig, clock: Clock) {
  return async function answerKey(c: Context<EdgeEnv>): Promise<Response> {
    const id = keyId(c);
    const legacy = legacyKeys(fleet).find(({ keyId }) => keyId === id);
    if (legacy !== undefined) return c.json(legacyKeyView(id, legacy.record, clock()));
    return c.json((await keyObject(c.env, id).show()) ?? missing());
  };
}

export function changeKey(index: FleetIndex, clock: Clock) {
  return async function answerChange(c: Context<EdgeEnv>): Promise<Response> {
    const id = changeableId(c, index.fleet);
    const body = unwrap(parseAdminBody(unwrap(await c.get("body")), KeyChange));
    const change = unwrap(recordChange(body, index, clock()));
    const ends = adminEnds(change, c.var.principal, clock());
    if (ends !== null) await refuseLastAdmin(c, id, ends);
    const outcome = await keyObject(c.env, id).change(change, by(c));
    return c.json(viewOfOutcome(outcome));
  };
}

export function rotateKey(fleet: FleetConfig) {
  return async function answerRotation(c: Context<EdgeEnv>): Promise<Response> {
    const id = changeableId(c, fleet);
    const { graceSeconds } = unwrap(parseAdminBody(unwrap(await c.get("body")), KeyRotation));
    const { key, secretHash } = await newSecret(id);
    const outcome = await keyObject(c.env, id).rotate(secretHash, graceSeconds * 1000, by(c));
    return c.json({ ...viewOfOutcome(outcome), key } satisfies KeyWithSecret);
  };
}

export function revokeKey(fleet: FleetConfig, clock: Clock) {
  return async function answerRevocation(c: Context<EdgeEnv>): Promise<Response> {
    const id = changeableId(c, fleet);
    await refuseLastAdmin(c, id, clock());
    const outcome = await keyObject(c.env, id).revoke(by(c));
    const view = viewOfOutcome(outcome);
    c.executionCtx.waitUntil(sendRevocation(c, id));
    return c.json(view);
  };
}

export function showAudit() {
  return async function answerAudit(c: Context<EdgeEnv>): Promise<Response> {
    return c.json(await registryObject(c.env).audit(unwrap(readAdminQuery(c.req.url, AuditQuery))));
  };
}

/** Lets boxes refuse the key's queued calls. If it fails, those calls only wait longer: no new call is admitted anyway. */
async function sendRevocation(c: Context<EdgeEnv>, id: string): Promise<void> {
  try {
    await fleetObject(c.env).revoke(id);
  } catch {
    writeLine({ event: "trouble", request_id: c.var.requestId, code: "revocation_not_sent", key: id });
  }
}

/** Created keys, oldest first; then those of the fleet file. */
async function pageOfKeys(
  c: Context<EdgeEnv>,
  query: KeyListQuery,
  legacy: readonly KeyView[],
): Promise<KeyList | null> {
  const { state, after, limit } = query;
  const inLegacy = after?.startsWith(LEGACY_PREFIX) === true;
  const at = legacy.findIndex(({ id }) => id === after);
  if (inLegacy && at < 0) return null;
  const registry = registryObject(c.env);
  const created = inLegacy || state === "legacy" ? NO_KEYS : await registry.list(query);
  if (created === null || created.next !== null) return created;
  const rest = state === undefined || state === "legacy" ? legacy.slice(at + 1) : [];
  const keys = [...created.keys, ...rest].slice(0, limit);
  const hasMore = created.keys.length + rest.length > limit;
  return { keys, next: hasMore ? (keys.at(-1)?.id ?? null) : null };
}

const NO_KEYS: KeyList = { keys: [], next: null };

/** A key may end its own admin rights only if another admin key stays; a caller that ends another key's has its own. */
async function refuseLastAdmin(c: Context<EdgeEnv>, id: string, ends: number): Promise<void> {
  if (c.var.principal.keyId !== id) return;
  if (await registryObject(c.env).hasAdminKey(id, ends)) return;
  throw refused(
    "This request would end the last admin key, which is the one in use. First create another admin key that is valid longer.",
  );
}

function viewOfOutcome(outcome: KeyOutcome): KeyView {
  switch (outcome.kind) {
    case "done":
      return outcome.view;
    case "missing":
      return missing();
    case "revoked":
      throw refused(
        `This key was revoked on ${outcome.view.revokedAt ?? "?"} and can't be changed. Create a new key.`,
      );
    case "expired":
      throw refused(`This key expired on ${outcome.view.expiresAt ?? "?"}. Set a later expiresAt first.`);
  }
}

async function newSecret(id: string): Promise<{ readonly key: string; readonly secretHash: string }> {
  const key = formatApiKey(id, crypto.getRandomValues(new Uint8Array(KEY_SECRET_BYTES)));
  return { key, secretHash: await sha256Hex(key) };
}

function by({ var: { principal, requestId, settings } }: Context<EdgeEnv>) {
  return { actor: principal.keyId, requestId, firstKey: settings.firstAdminSha256 };
}

function keyId(c: Context<EdgeEnv>): string {
  const id = KeyId.safeParse(c.req.param("id"));
  return id.success ? id.data : missing();
}

function changeableId(c: Context<EdgeEnv>, fleet: FleetConfig): string {
  const id = keyId(c);
  if (!legacyKeys(fleet).some(({ keyId }) => keyId === id)) return id;
  throw refused(
    "This key is defined in the fleet file, in legacy.keys. Change or remove it there and deploy.",
    "id",
  );
}

function missing(): never {
  throw new RefusedError({
    code: "not_found",
    message: "There is no key with this id. GET /admin/keys lists the keys.",
  });
}

function unwrap<T>(result: Result<T>): T {
  if (!result.ok) throw new RefusedError(result.refusal);
  return result.value;
}

function refused(message: string, param?: string): RefusedError {
  const refusal: Refusal = { code: "invalid_request", message, param };
  return new RefusedError(refusal);
}
