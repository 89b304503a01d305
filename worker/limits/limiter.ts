// Admits requests against leased tokens of their key and their address; sends lease requests to the limiter objects
// when tokens are missing. With tokens at hand nothing is waited for. A request that one limit refuses spends nothing
// of the other, and a limiter object that doesn't answer is a refusal, never a guess. Numbers in comments are decisions
// of design.md.
import type { Refusal, Result } from "../../shared/errors.ts";
import type { FleetConfig } from "../../shared/fleet.ts";
import type { KeyRecord } from "../../shared/principal.ts";
import type { ShownKey } from "../auth/credential.ts";
import { AddressLimits, type AddressAdmission } from "./address-limit.ts";
import type { AddressState } from "./address-state.ts";
import type { Caller } from "./caller.ts";
import type { CheckTurns } from "./failed-keys.ts";
import { KeyLimits, type KeyAdmission } from "./key-limit.ts";
import type { KeyState } from "./key-state.ts";
import type { LimitStatus, LimitStatuses } from "./rate-headers.ts";
import * as refusals from "./refusals.ts";
import type { LimitRefusal } from "./refusals.ts";

/** Whether a request is admitted, with the state of its limits for the headers of its answer. */
export type Admission<T> =
  | { readonly ok: true; readonly value: T; readonly limits: LimitStatuses }
  | { readonly ok: false; readonly refusal: Refusal; readonly limits: LimitStatuses };

type Soon<T> = T | Promise<T>;

export class Limiter {
  readonly #keys: KeyLimits;
  readonly #addresses: AddressLimits;
  readonly #clock: () => number;

  /** @param clock milliseconds since 1970, as the isolate sees it */
  constructor(fleet: FleetConfig, clock: () => number) {
    this.#keys = new KeyLimits(fleet.limits.perKeyPerSecond, clock);
    this.#addresses = new AddressLimits(fleet.limits.perAddressPerSecond, clock);
    this.#clock = clock;
  }

  /** Admits a request without a key, by its address's limit alone. @param value what it is admitted as */
  admitAddress<T>(caller: Caller, value: T): Soon<Admission<T>> {
    return this.#atAddress(caller, (_, limits) => ({ ok: true, value, limits }));
  }

  /** Refuses a request whose key is missing or invalid, after counting it against its address. */
  reject(caller: Caller, refusal: Refusal, key: ShownKey | null = null): Soon<Admission<never>> {
    return this.#atAddress(caller, (address, limits) => {
      if (refusal.code !== "invalid_key") return { ok: false, refusal, limits };
      const now = this.#clock();
      if (key === null || this.#keys.countsAsFailed(key, now)) address.noteFailedKey(now);
      return { ok: false, refusal, limits };
    });
  }

  /** Whether the key is known to be good: its object has confirmed it, or the fleet file or the environment defines it. */
  isKnown(key: ShownKey): boolean {
    return this.#keys.isKnown(key, this.#keys.at(key, this.#clock()));
  }

  /** Whether the key's object confirmed it less than a lease's life ago. */
  isFresh(key: ShownKey): boolean {
    const now = this.#clock();
    return this.#keys.at(key, now).isFresh(now);
  }

  /** Confirms a key whose request was admitted longer ago than an answer counts (7). It spends no token. */
  async confirm(caller: Caller, key: ShownKey): Promise<Result<KeyRecord>> {
    return this.#keys.confirm(caller, key);
  }

  /** Admits a request by its key's limit and its address's. */
  admit(caller: Caller, key: ShownKey): Soon<Admission<KeyRecord>> {
    const now = this.#clock();
    const state = this.#keys.at(key, now);
    const known = this.#keys.refusal(caller, state, now);
    if (known !== null) return refused(known.refusal, known.status, null);
    const address = this.#keys.isExempt(key, state) ? null : this.#addresses.at(caller, now);
    const fault = state.lease.availability(now) === "token" ? null : this.#keys.fault(key, now);
    if (fault !== null) return this.reject(caller, refusals.keyFault(fault), key);
    // (11) The address comes first: if it is at its limit, the key's object isn't called.
    const byAddress = address === null ? null : this.#addresses.admit(caller, address, now);
    if (byAddress !== null && "ok" in byAddress && !byAddress.ok)
      return refused(byAddress.refusal, this.#keys.status(state, now), byAddress.status);
    const attempt = { caller, key, state, address };
    const isKnown = address === null || this.#keys.isKnown(key, state);
    const turns = isKnown ? null : this.#addresses.checkTurns(address, now);
    const byKey =
      turns === null ? this.#keys.admit(caller, key, state, now) : this.#checkInTurn(turns, attempt);
    return byKey instanceof Promise || byAddress instanceof Promise
      ? this.#admitLater(attempt, byKey, byAddress)
      : this.#decide(attempt, byKey, byAddress);
  }

  /** (13) Calls the key's object when the turn of this request has come. */
  async #checkInTurn(turns: CheckTurns, { caller, key }: Attempt): Promise<KeyAdmission> {
    if (!(await turns.begin())) return { ok: false, refusal: refusals.TOO_MANY_FAILED_KEYS, status: null };
    try {
      const now = this.#clock();
      // Another request may have had the same key checked.
      const fault = this.#keys.fault(key, now);
      if (fault !== null) return { ok: false, refusal: refusals.keyFault(fault), status: null };
      return await this.#keys.admit(caller, key, this.#keys.at(key, now), now);
    } finally {
      turns.end();
    }
  }

  /** (11) The objects of the key and the address are called in parallel. */
  async #admitLater(
    attempt: Attempt,
    pendingKey: Soon<KeyAdmission>,
    pendingAddress: Soon<AddressAdmission> | null,
  ): Promise<Admission<KeyRecord>> {
    const byAddress = await pendingAddress;
    const byKey = await pendingKey;
    if (byAddress !== null || !byKey.ok || byKey.record.addressExempt)
      return this.#decide(attempt, byKey, byAddress);
    // The key was exempt from the address limit by its previous record, and is no longer.
    const now = this.#clock();
    const address = this.#addresses.at(attempt.caller, now);
    const late = await this.#addresses.admit(attempt.caller, address, now);
    return this.#decide({ ...attempt, address }, byKey, late);
  }

  /** (11) A request that one limit refuses returns its token of the other. */
  #decide(attempt: Attempt, byKey: KeyAdmission, byAddress: AddressAdmission | null): Admission<KeyRecord> {
    if (!byKey.ok) return this.#refusedByKey(attempt, byKey, byAddress);
    const now = this.#clock();
    const { state, address } = attempt;
    const { record, token } = byKey;
    if (record.addressExempt || address === null) {
      if (byAddress?.ok === true) address?.giveBack(byAddress.token, now);
      return { ok: true, value: record, limits: { key: this.#keys.status(state, now), address: null } };
    }
    if (byAddress?.ok === false) {
      state.lease.giveBack(token, now);
      return refused(byAddress.refusal, this.#keys.status(state, now), byAddress.status);
    }
    const limits = { key: this.#keys.status(state, now), address: this.#addresses.status(address, now) };
    return { ok: true, value: record, limits };
  }

  /** (11) An unknown key keeps its address's token, because it cost a lease request, and counts as failed. */
  #refusedByKey(
    { caller, key, address }: Attempt,
    { refusal, status }: LimitRefusal,
    byAddress: AddressAdmission | null,
  ): Admission<never> {
    const now = this.#clock();
    if (refusal.code !== "invalid_key") {
      if (byAddress?.ok === true) address?.giveBack(byAddress.token, now);
    } else if (this.#keys.countsAsFailed(key, now)) {
      // An exemption was the key's.
      const counted = address ?? this.#addresses.at(caller, now);
      counted.noteFailedKey(now);
      this.#addresses.report(caller, counted, now);
    }
    return byAddress?.ok === false
      ? refused(byAddress.refusal, status, byAddress.status)
      : refused(refusal, status, null);
  }

  /** Applies the address limit, then `decide` for a request that it admits. */
  #atAddress<T>(
    caller: Caller,
    decide: (address: AddressState, limits: LimitStatuses) => Admission<T>,
  ): Soon<Admission<T>> {
    const address = this.#addresses.at(caller, this.#clock());
    const settle = (admission: AddressAdmission): Admission<T> => {
      if (!admission.ok) return refused(admission.refusal, null, admission.status);
      return decide(address, { key: null, address: this.#addresses.status(address, this.#clock()) });
    };
    const admission = this.#addresses.admit(caller, address, this.#clock());
    return admission instanceof Promise ? admission.then(settle) : settle(admission);
  }
}

/** A request with the states of its limits; the address's is null for a key that is exempt from it. */
interface Attempt {
  readonly caller: Caller;
  readonly key: ShownKey;
  readonly state: KeyState;
  readonly address: AddressState | null;
}

function refused(refusal: Refusal, key: LimitStatus | null, address: LimitStatus | null): Admission<never> {
  return { ok: false, refusal, limits: { key, address } };
}
