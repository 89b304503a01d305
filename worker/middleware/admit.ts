// Who may come in: `visitor` counts an address, `client` finds out who is asking and counts key and address
// side by side. A request that one limit refuses spends nothing of the other.
import { createMiddleware } from "hono/factory";
import type { Context } from "hono";
import { RefusedError, type Refusal, type Result } from "../../shared/errors.ts";
import type { Fleet } from "../../shared/fleet.ts";
import type { Principal, Scope } from "../../shared/principal.ts";
import type { EdgeEnv } from "../context.ts";
import type { Bindings } from "../env.ts";
import { sha256Hex } from "../proxy/keyed-hash.ts";
import { addressName } from "./client-address.ts";
import { anonymousRecord, MISSING, readCredential, resolveClaim, type Claim } from "./credential.ts";
import type { Admission, Limiter } from "./limiter.ts";

/** Routes without a key: the address limit alone. */
export function visitor(fleet: Fleet, limiter: Limiter) {
  return createMiddleware<EdgeEnv>(async function admitVisitor(c, next) {
    const admission = await limiter.address(c.env, callerAddress(c), fleet.limits.perAddressPerSecond);
    if (!admission.ok) throw new RefusedError(admission.refusal);
    await next();
  });
}

/** Routes for a key with `scope`. Sets `principal`. */
export function client(fleet: Fleet, limiter: Limiter, scope: Scope, clock: () => number) {
  return createMiddleware<EdgeEnv>(async function admitClient(c, next) {
    const askAddress = (): Promise<Admission<null>> =>
      limiter.address(c.env, callerAddress(c), fleet.limits.perAddressPerSecond);
    const claim = await claimOf(c, fleet);
    const admitted =
      claim.ok && claim.value !== null
        ? await withKey(claim.value, limiter, c.env, askAddress)
        : withoutKey(claim.ok ? null : claim.refusal, fleet, await askAddress(), clock());
    if ("refusal" in admitted) throw new RefusedError(admitted.refusal);
    if (!admitted.principal.scopes.includes(scope)) {
      throw new RefusedError({
        code: "scope_missing",
        message: `This API key lacks the scope "${scope}"; it has: ${admitted.principal.scopes.join(", ")}.`,
      });
    }
    c.set("principal", admitted.principal);
    await next();
    // RFC 9111 dropped the header, but it is what people look for; 299 is "miscellaneous persistent warning".
    if (admitted.warning !== null) c.res.headers.set("warning", `299 - "${admitted.warning}"`);
  });
}

type Admitted =
  | { readonly principal: Principal; readonly warning: string | null }
  | { readonly refusal: Refusal };

async function withKey(
  claim: Claim,
  limiter: Limiter,
  bindings: Bindings,
  askAddress: () => Promise<Admission<null>>,
): Promise<Admitted> {
  const asked = limiter.key(bindings, claim);
  // A key that was freed of the address limit a moment ago most likely is so still: its calls take no token
  // from those who share its address.
  const early = limiter.wasExempt(claim) ? null : await askAddress();
  const key = await asked;
  if (key.ok && key.value.addressExempt) {
    if (early?.ok === true) early.giveBack();
    return { principal: { ...key.value, keyId: claim.keyId }, warning: claim.warning };
  }
  const address = early ?? (await askAddress());
  if (!key.ok) {
    // A key at its limit is known and leaves its address's token; an unknown one pays for the question.
    if (key.refusal.code === "rate_limited_key" && address.ok) address.giveBack();
    return { refusal: address.ok ? key.refusal : address.refusal };
  }
  if (!address.ok) {
    key.giveBack();
    return { refusal: address.refusal };
  }
  return { principal: { ...key.value, keyId: claim.keyId }, warning: claim.warning };
}

/** A request that shows no key, or none that could be one: its address's limit, then what its lack of a key means. */
function withoutKey(refusal: Refusal | null, fleet: Fleet, address: Admission<null>, now: number): Admitted {
  if (!address.ok) return { refusal: address.refusal };
  if (refusal !== null) return { refusal };
  const anonymous = anonymousRecord(fleet, now);
  if (anonymous === null) return { refusal: { code: "missing_key", message: MISSING } };
  return { principal: { ...anonymous.record, keyId: "anonymous" }, warning: anonymous.warning };
}

async function claimOf(c: Context<EdgeEnv>, fleet: Fleet): Promise<Result<Claim | null>> {
  const shown = readCredential(c.req.header("authorization"), c.req.header("x-api-key"));
  if (!shown.ok) return shown;
  if (shown.value === null) return { ok: true, value: null };
  const devKeys = c.var.settings.devKeys && isLoopback(new URL(c.req.url).hostname);
  return resolveClaim(shown.value, await keyHash(shown.value), fleet, devKeys);
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "127.0.0.1" || hostname === "[::1]";
}

function callerAddress(c: Context<EdgeEnv>): string {
  return addressName(c.req.header("cf-connecting-ip"));
}

/** Hashes of keys that were shown lately: the same few hundred come again and again. */
const HASHES_KEPT = 1_000;
const hashes = new Map<string, string>();

async function keyHash(key: string): Promise<string> {
  const known = hashes.get(key);
  if (known !== undefined) return known;
  const hash = await sha256Hex(key);
  if (hashes.size >= HASHES_KEPT) hashes.clear();
  hashes.set(key, hash);
  return hash;
}
