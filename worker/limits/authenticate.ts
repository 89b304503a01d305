// Middleware that admits requests: `limitAddress` for routes without a key, `authenticate` for routes with one. If
// nothing has to be waited for, neither creates a promise before the handler runs.
import type { Context, MiddlewareHandler } from "hono";
import type { Refusal } from "../../shared/errors.ts";
import type { FleetConfig } from "../../shared/fleet.ts";
import type { KeyRecord, Scope } from "../../shared/principal.ts";
import { ANONYMOUS } from "../../shared/keys.ts";
import { anonymousRecord, MISSING, type ShownKey } from "../auth/credential.ts";
import { keyReader, NO_KEY, type Shown } from "../auth/key-reader.ts";
import type { EdgeEnv } from "../context.ts";
import { showRefusal } from "../http/errors.ts";
import { addressName, type Caller } from "./caller.ts";
import type { Admission, Limiter } from "./limiter.ts";
import { setRateHeaders, type LimitStatuses } from "./rate-headers.ts";

/** Applies the address limit only. */
export function limitAddress(limiter: Limiter): MiddlewareHandler<EdgeEnv> {
  return async function limitClientAddress(c, next) {
    const pending = limiter.admitAddress(callerOf(c, false), null);
    const admission = pending instanceof Promise ? await pending : pending;
    if (!admission.ok) return showLimited(c, admission.refusal, admission.limits);
    await next();
    return undefined;
  };
}

/** Work that a route needs besides the key. */
export interface Prefetch {
  /** Begins what needs nothing of the request, while the limiters are called; again if a slow body made it old. */
  readonly begin: (c: Context<EdgeEnv>) => void;
  /** Reads the body. @returns a function that gives up its memory */
  readonly readBody: (c: Context<EdgeEnv>) => Promise<() => void>;
}

/** What a route requires of a request. */
export interface RouteAccess {
  readonly scope: Scope;
  /** Only calls to a model are refused when a key's month is used up. */
  readonly isModelCall: boolean;
  /** Null if the handler waits for nothing. */
  readonly prefetch: Prefetch | null;
}

/**
 * Admits keys with the route's scope and sets `principal`. Nothing of a request's body is read before its key is known to
 * be good. If the body took longer than a lease, the key is confirmed again, without a second token, so that a key that
 * was revoked in the meantime does nothing.
 */
export function authenticate(
  fleet: FleetConfig,
  limiter: Limiter,
  clock: () => number,
  { scope, isModelCall, prefetch }: RouteAccess,
): MiddlewareHandler<EdgeEnv> {
  const readKey = keyReader(fleet);
  return async function authenticateKey(c, next) {
    const reading = readKey(c);
    const shown = reading instanceof Promise ? await reading : reading;
    const caller = callerOf(c, isModelCall);
    const key = shown.ok ? shown.value : null;
    const anonymous = shown === NO_KEY ? anonymousRecord(fleet, clock()) : null;
    const keyId = key?.claim.keyId ?? ANONYMOUS;
    const pending = admit(limiter, caller, shown, anonymous?.record ?? null);
    const isBegun = pending instanceof Promise && key !== null && limiter.isKnown(key);
    if (isBegun) prefetch?.begin(c);
    const admission = pending instanceof Promise ? await pending : pending;
    const { limits } = admission;
    if (!admission.ok)
      return showLimited(c, admission.refusal, limits, knownKey(limiter, key, admission.refusal));
    let record = admission.value;
    const headers = c.get("answerHeaders");
    if (!record.scopes.includes(scope)) return showLimited(c, lacksScope(scope, record), limits, keyId);
    setRateHeaders(headers, limits);
    // RFC 9111 dropped the header, but operators still look for it; 299 is "miscellaneous persistent warning".
    const warning = key?.claim.warning ?? anonymous?.warning ?? null;
    if (warning !== null) headers["warning"] = `299 - "${warning}"`;
    if (prefetch === null) {
      c.set("principal", { ...record, keyId });
      await next();
    } else {
      if (!isBegun) prefetch.begin(c);
      const release = await prefetch.readBody(c);
      try {
        if (key !== null && !limiter.isFresh(key)) {
          const confirmed = await limiter.confirm(caller, key);
          if (!confirmed.ok)
            return showLimited(c, confirmed.refusal, limits, knownKey(limiter, key, confirmed.refusal));
          record = confirmed.value;
          if (!record.scopes.includes(scope)) return showLimited(c, lacksScope(scope, record), limits, keyId);
          prefetch.begin(c);
        }
        c.set("principal", { ...record, keyId });
        await next();
      } finally {
        release();
      }
    }
    return undefined;
  };
}

/** The id of the key that was refused, if its object has confirmed it: an id that a client made up is never stored. */
function knownKey(limiter: Limiter, key: ShownKey | null, { code }: Refusal): string | null {
  return key !== null && (code === "expired_key" || limiter.isKnown(key)) ? key.claim.keyId : null;
}

const KEY_MISSING: Refusal = { code: "missing_key", message: MISSING };

function admit(
  limiter: Limiter,
  caller: Caller,
  shown: Shown,
  anonymous: KeyRecord | null,
): Admission<KeyRecord> | Promise<Admission<KeyRecord>> {
  if (!shown.ok) return limiter.reject(caller, shown.refusal);
  if (shown.value !== null) return limiter.admit(caller, shown.value);
  return anonymous === null ? limiter.reject(caller, KEY_MISSING) : limiter.admitAddress(caller, anonymous);
}

function callerOf(c: Context<EdgeEnv>, isModelCall: boolean): Caller {
  return {
    bindings: c.env,
    isModelCall,
    requestId: c.get("requestId"),
    address: addressName(c.req.header("cf-connecting-ip"), () => c.req.header("cf-worker")),
    context: c.executionCtx,
  };
}

function lacksScope(scope: Scope, { scopes }: KeyRecord): Refusal {
  return {
    code: "scope_missing",
    message: `This API key lacks the scope "${scope}"; it has: ${scopes.join(", ")}.`,
  };
}

/** Refusals come in floods: an answer costs less than an exception, and carries the headers of its limits. */
function showLimited(
  c: Context<EdgeEnv>,
  refusal: Refusal,
  limits: LimitStatuses,
  keyId: string | null = null,
): Response {
  if (keyId !== null) c.set("refusedKey", keyId);
  setRateHeaders(c.get("answerHeaders"), limits);
  return showRefusal(c, refusal);
}
