// The key limit in this isolate: admits requests by leased tokens and sends the lease requests to the keys' objects.
// An answer of an object is permission and tokens in one (design.md, 7).
import { RATE_WINDOW_MS } from "../../shared/limits.ts";
import { ok, type Result } from "../../shared/errors.ts";
import type { KeyRecord } from "../../shared/principal.ts";
import type { ShownKey } from "../auth/credential.ts";
import { keyObject } from "../stubs.ts";
import type { Caller } from "./caller.ts";
import { KeyState, RefusedKeys } from "./key-state.ts";
import { callObject, type KeyLeaseAnswer, type KeyLeaseRequest } from "./lease-request.ts";
import { LEASE_LIFE_MS, LeaseTable, type PendingLease, type Token } from "./lease.ts";
import type { LimitStatus } from "./rate-headers.ts";
import * as refusals from "./refusals.ts";
import type { KeyFault, LimitRefusal } from "./refusals.ts";

/** For how many keys an isolate has leases and remembers refusals: under 1 KiB each, of 128 MiB. */
const MAX_KEYS = 10_000;

/** Keys without an answer of their object yet: more than an isolate has requests in progress. */
const MAX_UNCONFIRMED_KEYS = 1_000;

export type KeyAdmission =
  | LimitRefusal
  | { readonly ok: true; readonly record: KeyRecord; readonly token: Token };

export class KeyLimits {
  /** Keys that their object has confirmed; those that it doesn't know evict none of them. */
  readonly #known = new LeaseTable(MAX_KEYS, () => new KeyState());
  readonly #unconfirmed = new LeaseTable(MAX_UNCONFIRMED_KEYS, () => new KeyState());
  readonly #refused = new RefusedKeys(MAX_KEYS);
  readonly #perSecond: number;
  readonly #clock: () => number;

  /** @param perSecond limit of a key until its record is known */
  constructor(perSecond: number, clock: () => number) {
    this.#perSecond = perSecond;
    this.#clock = clock;
  }

  at(key: ShownKey, now: number): KeyState {
    return this.#known.find(key.name, now) ?? this.#unconfirmed.at(key.name, now);
  }

  /** The reason for which the key was refused a moment ago. */
  fault(key: ShownKey, now: number): KeyFault | null {
    return this.#refused.find(key.name, now);
  }

  /** Whether a key that turned out invalid is to be counted against its address. */
  countsAsFailed(key: ShownKey, now: number): boolean {
    return this.#refused.counts(key.name, now);
  }

  /** Whether the key is known to be good: failed keys of others don't affect it. */
  isKnown({ claim }: ShownKey, { snapshot }: KeyState): boolean {
    return claim.builtInRecord !== null || snapshot !== null;
  }

  /** Whether the key is exempt from the address limit, by the newest record known. */
  isExempt({ claim }: ShownKey, { snapshot }: KeyState): boolean {
    return (claim.builtInRecord ?? snapshot?.record)?.addressExempt ?? false;
  }

  /** Null until the key's object has confirmed it. */
  status({ lease, snapshot }: KeyState, now: number): LimitStatus | null {
    if (snapshot === null) return null;
    const { perSecond } = snapshot.record.limits;
    const { remaining, resetMs } = lease.left(now) ?? { remaining: perSecond, resetMs: RATE_WINDOW_MS };
    return { perSecond, remaining: Math.min(perSecond, remaining), resetMs };
  }

  /** The refusal that needs no lease request, if there is one. */
  refusal(caller: Caller, state: KeyState, now: number): LimitRefusal | null {
    const { snapshot } = state;
    if (snapshot === null) return null;
    if (snapshot.quotaSpent && caller.isModelCall && state.isFresh(now))
      return this.#monthSpent(state, snapshot.record, now);
    return state.lease.availability(now) === "spent" ? this.#windowSpent(state, snapshot.record, now) : null;
  }

  /** Admits a request: at once if there is a token, otherwise after a lease request. */
  admit(caller: Caller, key: ShownKey, state: KeyState, now: number): KeyAdmission | Promise<KeyAdmission> {
    const { lease, snapshot } = state;
    const perSecond = (key.claim.builtInRecord ?? snapshot?.record)?.limits.perSecond ?? this.#perSecond;
    if (snapshot === null || lease.availability(now) !== "token")
      return this.#send(caller, key, state, lease.request(now, perSecond));
    const token = lease.take(now);
    const topUp = lease.topUp(now, perSecond);
    if (topUp !== null) caller.context.waitUntil(this.#send(caller, key, state, topUp));
    return { ok: true, record: snapshot.record, token };
  }

  /** Asks the key's object again, for no token. */
  async confirm(caller: Caller, key: ShownKey): Promise<Result<KeyRecord>> {
    const state = this.at(key, this.#clock());
    if (this.fault(key, this.#clock()) === null)
      await this.#send(caller, key, state, state.lease.report(this.#clock()));
    const now = this.#clock();
    const fault = this.fault(key, now);
    if (fault !== null) return { ok: false, refusal: refusals.keyFault(fault) };
    if (state.snapshot !== null && state.isFresh(now)) return ok(state.snapshot.record);
    return { ok: false, refusal: refusals.LIMITER_UNAVAILABLE };
  }

  async #send(caller: Caller, key: ShownKey, state: KeyState, pending: PendingLease): Promise<KeyAdmission> {
    const { keyId, secretHash, builtInRecord, first } = key.claim;
    const { want, waiting } = pending;
    const request: KeyLeaseRequest = {
      want,
      waiting,
      secretHash,
      builtInRecord,
      first: first ? { keyId, requestId: caller.requestId } : null,
    };
    const admission = await callObject<KeyAdmission>(async () => {
      const sent = { ...pending, sentAt: this.#clock() };
      const answer: KeyLeaseAnswer = await keyObject(caller.bindings, keyId).lease(request);
      return this.#receive(caller, key, state, sent, answer);
    });
    return admission ?? { ok: false, refusal: refusals.LIMITER_UNAVAILABLE, status: null };
  }

  /** @returns null if the token came too late (8): the key may have been revoked since. The record and a refusal count. */
  #receive(
    caller: Caller,
    key: ShownKey,
    state: KeyState,
    sent: PendingLease,
    answer: KeyLeaseAnswer,
  ): KeyAdmission | null {
    const now = this.#clock();
    if (answer.kind !== "known") {
      for (const states of [this.#known, this.#unconfirmed]) states.delete(key.name);
      this.#refused.note(key.name, answer.kind, now);
      return { ok: false, refusal: refusals.keyFault(answer.kind), status: null };
    }
    const { record, quotaSpent } = answer;
    const { lease } = state;
    state.note({ record, quotaSpent }, sent.sentAt);
    this.#confirm(key, state, now);
    lease.noteQuota(record.limits.perSecond);
    const token = lease.receive(sent, answer.lease, now);
    if (quotaSpent && caller.isModelCall) {
      if (token !== null) lease.giveBack(token, now);
      return this.#monthSpent(state, record, now);
    }
    if (token !== null) return now - sent.sentAt > LEASE_LIFE_MS ? null : { ok: true, record, token };
    // Another answer may have left a token here.
    if (sent.waiting > 0 && lease.availability(now) === "token")
      return { ok: true, record, token: lease.take(now) };
    return this.#windowSpent(state, record, now);
  }

  /** Unless the table was cleared while the object was called (12). */
  #confirm({ name }: ShownKey, state: KeyState, now: number): void {
    if (this.#unconfirmed.find(name, now) !== state) return;
    this.#unconfirmed.delete(name);
    this.#known.set(name, state);
  }

  #monthSpent(state: KeyState, record: KeyRecord, now: number): LimitRefusal {
    return { ok: false, refusal: refusals.quotaExceeded(record, now), status: this.status(state, now) };
  }

  #windowSpent({ lease }: KeyState, { limits }: KeyRecord, now: number): LimitRefusal {
    const { perSecond } = limits;
    const resetMs = lease.left(now)?.resetMs ?? RATE_WINDOW_MS;
    const refusal = refusals.keyLimitReached(perSecond, resetMs);
    return { ok: false, refusal, status: { perSecond, remaining: 0, resetMs } };
  }
}
