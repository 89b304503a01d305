// Who may come in: `limitAddress` counts an address, `client` finds out who is asking and counts key and address. Where
// all is known nothing is waited for: no promise is made on a call's way in.
import type { Context, MiddlewareHandler } from "hono";
import { RefusedError, type Refusal, type Result } from "../../shared/errors.ts";
import type { FleetConfig } from "../../shared/fleet.ts";
import type { KeyRecord, Scope } from "../../shared/principal.ts";
import { ANONYMOUS } from "../../shared/unlisted-keys.ts";
import type { EdgeEnv } from "../context.ts";
import type { Caller } from "./caller.ts";
import { addressName } from "./address.ts";
import { anonymousRecord, MISSING, readCredential, resolveClaim } from "../auth/credential.ts";
import { showRefusal } from "../http/errors.ts";
import type { ShownKey } from "./key-limit.ts";
import { LIMITER_SILENT } from "./refusals.ts";
import type { Entry, Limiter } from "./limiter.ts";
import { setRateHeaders, type LimitStatuses } from "./rate-headers.ts";
import { ShownKeys } from "../auth/credential-cache.ts";

/** Routes without a key: the address limit alone. */
export function limitAddress(limiter: Limiter): MiddlewareHandler<EdgeEnv> {
  return async function admitVisitor(c, next) {
    const visit = limiter.visit(askerOf(c, false));
    const entry = visit instanceof Promise ? await visit : visit;
    if (!entry.ok) return showLimited(c, entry.refusal, entry.told);
    await next();
    return undefined;
  };
}

/** What a request brings beside its key. */
export interface Prefetch {
  /** What can begin while the limiters are asked. */
  readonly begin: (c: Context<EdgeEnv>) => void;
  /** What must have come before the request goes on. */
  readonly whole: (c: Context<EdgeEnv>) => Promise<unknown>;
  /** The request is let in anew: what has grown too old meanwhile begins again. */
  readonly renew: (c: Context<EdgeEnv>) => void;
}

/** What a route lets in. */
export interface Entrance {
  readonly scope: Scope;
  /** A call to the models: what a key's month has left counts for these alone. */
  readonly calls: boolean;
  /** Null where there is nothing to wait for. */
  readonly prefetch: Prefetch | null;
}

/** How often a request is let in anew whose parts took so long that its key may have been revoked meanwhile. */
const MAX_ENTRIES = 3;

/**
 * Routes for a key with a scope. Sets `principal`. Nothing is done by a key that was revoked while its request was
 * still arriving: who waited for parts is asked for again.
 */
export function authenticate(
  fleet: FleetConfig,
  limiter: Limiter,
  clock: () => number,
  { scope, calls, prefetch }: Entrance,
): MiddlewareHandler<EdgeEnv> {
  const read = keyReader(fleet);
  return async function authenticateKey(c, next) {
    const reading = read(c);
    const shown = reading instanceof Promise ? await reading : reading;
    const asker = askerOf(c, calls);
    let told: LimitStatuses = { key: null, address: null };
    let warned: string | null = null;
    for (let entries = 1; ; entries += 1) {
      const asked = enter(limiter, asker, shown, fleet, clock);
      if (asked instanceof Promise) prefetch?.begin(c);
      const entry = asked instanceof Promise ? await asked : asked;
      ({ told } = entry);
      if (!entry.ok) return showLimited(c, entry.refusal, told, knownKey(shown, entry.refusal));
      const { record, keyId, warning } = admitted(entry.value, shown, fleet, clock);
      if (!record.scopes.includes(scope)) return showLimited(c, lacksScope(scope, record), told, keyId);
      if (prefetch !== null) {
        prefetch.begin(c);
        await prefetch.whole(c);
      }
      if (shown.ok && shown.value !== null && !limiter.isFresh(shown.value)) {
        if (entries === MAX_ENTRIES) return showLimited(c, LIMITER_SILENT, told, keyId);
        prefetch?.renew(c);
        continue;
      }
      warned = warning;
      c.set("principal", { ...record, keyId });
      break;
    }
    await next();
    const { headers } = c.res;
    setRateHeaders(headers, told);
    // RFC 9111 dropped the header, but it is what people look for; 299 is "miscellaneous persistent warning".
    if (warned !== null) headers.set("warning", `299 - "${warned}"`);
    return undefined;
  };
}

/** Whose refusal it is, where the key is one that there is. */
function knownKey(shown: Shown, { code }: Refusal): string | null {
  if (!shown.ok || shown.value === null) return null;
  return code === "invalid_key" || code === "too_many_failed_keys" ? null : shown.value.claim.keyId;
}

/** A key, none, or why what was shown can be none. */
type Shown = Result<ShownKey | null>;

const NO_KEY: Shown = { ok: true, value: null };

function enter(
  limiter: Limiter,
  asker: Caller,
  shown: Shown,
  fleet: FleetConfig,
  clock: () => number,
): Entry<KeyRecord | null> | Promise<Entry<KeyRecord | null>> {
  if (!shown.ok) return limiter.turnAway(asker, shown.refusal);
  if (shown.value !== null) return limiter.enter(asker, shown.value);
  if (anonymousRecord(fleet, clock()) !== null) return limiter.visit(asker);
  return limiter.turnAway(asker, NO_KEY_SHOWN);
}

const NO_KEY_SHOWN: Refusal = { code: "missing_key", message: MISSING };

/** Who was let in; without a key the fleet file's word. */
function admitted(
  record: KeyRecord | null,
  shown: Shown,
  fleet: FleetConfig,
  clock: () => number,
): { readonly record: KeyRecord; readonly keyId: string; readonly warning: string | null } {
  if (record !== null && shown.ok && shown.value !== null) {
    const { keyId, warning } = shown.value.claim;
    return { record, keyId, warning };
  }
  const anonymous = anonymousRecord(fleet, clock());
  // Its date may have come while its address was asked for.
  if (anonymous === null) throw new RefusedError(NO_KEY_SHOWN);
  return { ...anonymous, keyId: ANONYMOUS };
}

/** Reads the key a request shows; at once where it was read before. */
function keyReader(fleet: FleetConfig): (c: Context<EdgeEnv>) => Shown | Promise<Shown> {
  // What a text means depends on whether the development keys count, and on the environment, which an isolate has one of.
  let known: { readonly sha256: string | null; readonly dev: ShownKeys; readonly plain: ShownKeys } | null =
    null;
  return function readKey(c) {
    const text = readCredential(c.req.header("authorization"), c.req.header("x-api-key"));
    if (!text.ok) return text;
    if (text.value === null) return NO_KEY;
    const { devKeys, firstAdminSha256 } = c.get("settings");
    if (known === null || known.sha256 !== firstAdminSha256) {
      const keys = (dev: boolean): ShownKeys =>
        new ShownKeys((key, hash) => resolveClaim(key, hash, fleet, { devKeys: dev, firstAdminSha256 }));
      known = { sha256: firstAdminSha256, dev: keys(true), plain: keys(false) };
    }
    const keys = devKeys && isLoopback(c.req.url) ? known.dev : known.plain;
    return keys.find(text.value) ?? keys.read(text.value);
  };
}

/** Of a request's own URL, which the runtime has normalized; a URL object for each call would cost more than all else here. */
const LOOPBACK = /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?\//;

function isLoopback(url: string): boolean {
  return LOOPBACK.test(url);
}

function askerOf(c: Context<EdgeEnv>, calls: boolean): Caller {
  return {
    bindings: c.env,
    calls,
    requestId: c.get("requestId"),
    address: addressName(c.req.header("cf-connecting-ip")),
    context: c.executionCtx,
  };
}

function lacksScope(scope: Scope, { scopes }: KeyRecord): Refusal {
  return {
    code: "scope_missing",
    message: `This API key lacks the scope "${scope}"; it has: ${scopes.join(", ")}.`,
  };
}

/** Refusals come in floods: an answer is cheaper than an exception, and has its limits' headers. */
function showLimited(
  c: Context<EdgeEnv>,
  refusal: Refusal,
  told: LimitStatuses,
  keyId: string | null = null,
): Response {
  if (keyId !== null) c.set("refusedKey", keyId);
  const answer = showRefusal(c, refusal);
  setRateHeaders(answer.headers, told);
  return answer;
}
