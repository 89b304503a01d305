// Admits requests against leased tokens of their key and their address; sends lease requests to the limiter objects
// when tokens are missing. With tokens at hand nothing is waited for. A request that one limit refuses spends nothing
// of the other, and a limiter object that doesn't answer is a refusal, never a guess. See design.md.
import type { Refusal } from "../../shared/errors.ts";
import type { FleetConfig } from "../../shared/fleet.ts";
import type { KeyRecord } from "../../shared/principal.ts";
import type { ShownKey } from "../auth/credential.ts";
import { AddressLimits, type AddressAdmission } from "./address-limit.ts";
import type { AddressState } from "./address-state.ts";
import type { Caller } from "./caller.ts";
import { KeyLimits, type KeyAdmission, type KeyRefusal } from "./key-limit.ts";
import type { KeyState } from "./key-state.ts";
import type { LimitStatus, LimitStatuses } from "./rate-headers.ts";
import * as refusals from "./refusals.ts";

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

  /** Admits a request without a key, by its address's limit alone. */
  admitAddress(caller: Caller): Soon<Admission<null>> {
    return this.#atAddress(caller, (_, limits) => ({ ok: true, value: null, limits }));
  }

  /** Refuses a request whose key is missing or invalid, after counting it against its address. */
  reject(caller: Caller, refusal: Refusal, key: ShownKey | null = null): Soon<Admission<never>> {
    return this.#atAddress(caller, (address, limits) => {
      if (refusal.code !== "invalid_key") return { ok: false, refusal, limits };
      const now = this.#clock();
      const refusedForMs = address.keysRefusedForMs(now);
      if (refusedForMs > 0) return { ok: false, refusal: refusals.tooManyFailedKeys(refusedForMs), limits };
      if (key === null || this.#keys.countsAsFailed(key, now)) address.noteFailedKey(now);
      return { ok: false, refusal, limits };
    });
  }

  /** Whether the key's object confirmed it less than a lease's life ago. */
  isFresh(key: ShownKey): boolean {
    return this.#keys.isFresh(key, this.#clock());
  }

  /** Admits a request by its key's limit and its address's. */
  admit(caller: Caller, key: ShownKey): Soon<Admission<KeyRecord>> {
    const now = this.#clock();
    const state = this.#keys.at(key, now);
    const known = this.#keys.refusal(caller, state, now);
    if (known !== null) return refused(known.refusal, known.status, null);
    const address = this.#keys.isExempt(key, state) ? null : this.#addresses.at(caller, now);
    const hasToken = state.lease.availability(now) === "token";
    if (!hasToken) {
      const fault = this.#keys.fault(key, now);
      const isSuspect = address !== null && address.keysRefusedForMs(now) > 0;
      if (fault !== null || (isSuspect && !this.#keys.isKnownGood(key, state, now)))
        return this.reject(caller, refusals.keyFault(fault ?? "unknown"), key);
    }
    const byAddress = address === null ? null : this.#addresses.admit(caller, address, now);
    if (address !== null && byAddress !== null && "ok" in byAddress && !byAddress.ok) {
      const { snapshot } = state;
      const status = hasToken && snapshot !== null ? this.#keys.status(state, snapshot.record, now) : null;
      return refused(byAddress.refusal, status, this.#spent(address, now));
    }
    const byKey = this.#keys.admit(caller, key, state, now);
    return byKey instanceof Promise || byAddress instanceof Promise
      ? this.#admitLater(caller, key, state, { byKey, address, byAddress })
      : this.#decide(caller, key, state, { byKey, address, byAddress });
  }

  /** The objects of the key and the address are called in parallel. */
  async #admitLater(
    caller: Caller,
    key: ShownKey,
    state: KeyState,
    pending: Verdicts<Soon<KeyAdmission>, Soon<AddressAdmission>>,
  ): Promise<Admission<KeyRecord>> {
    let { address } = pending;
    let byAddress = await pending.byAddress;
    const byKey = await pending.byKey;
    // The key was exempt from the address limit by its previous record, and is no longer.
    if (byKey.ok && !byKey.record.addressExempt && byAddress === null) {
      address = this.#addresses.at(caller, this.#clock());
      byAddress = await this.#addresses.admit(caller, address, this.#clock());
    }
    return this.#decide(caller, key, state, { byKey, address, byAddress });
  }

  #decide(
    caller: Caller,
    key: ShownKey,
    state: KeyState,
    { byKey, address, byAddress }: Verdicts<KeyAdmission, AddressAdmission>,
  ): Admission<KeyRecord> {
    const now = this.#clock();
    if (!byKey.ok) return this.#refusedByKey(caller, key, byKey, address, byAddress);
    const { record, token } = byKey;
    if (record.addressExempt || address === null || byAddress === null) {
      if (byAddress?.ok === true) address?.giveBack(byAddress.token, now);
      return {
        ok: true,
        value: record,
        limits: { key: this.#keys.status(state, record, now), address: null },
      };
    }
    if (!byAddress.ok) {
      state.lease.giveBack(token, now);
      return refused(byAddress.refusal, this.#keys.status(state, record, now), this.#spent(address, now));
    }
    const limits = {
      key: this.#keys.status(state, record, now),
      address: this.#addresses.status(address, now),
    };
    return { ok: true, value: record, limits };
  }

  /** A known key that is refused returns its address's token; an unknown key pays for its lease request, and counts as failed. */
  #refusedByKey(
    caller: Caller,
    key: ShownKey,
    { refusal, status }: KeyRefusal,
    address: AddressState | null,
    byAddress: AddressAdmission | null,
  ): Admission<never> {
    const now = this.#clock();
    if (refusal.code === "invalid_key") {
      // An exemption was the key's.
      const state = address ?? this.#addresses.at(caller, now);
      if (this.#keys.countsAsFailed(key, now)) {
        state.noteFailedKey(now);
        this.#addresses.report(caller, state, now);
      }
    } else if (byAddress?.ok === true) {
      address?.giveBack(byAddress.token, now);
    }
    return address !== null && byAddress?.ok === false
      ? refused(byAddress.refusal, status, this.#spent(address, now))
      : refused(refusal, status, null);
  }

  /** Applies the address limit, then `decide` for a request that it admits. */
  #atAddress<T>(
    caller: Caller,
    decide: (address: AddressState, limits: LimitStatuses) => Admission<T>,
  ): Soon<Admission<T>> {
    const address = this.#addresses.at(caller, this.#clock());
    const settle = (admission: AddressAdmission): Admission<T> => {
      const now = this.#clock();
      if (!admission.ok) return refused(admission.refusal, null, this.#spent(address, now));
      return decide(address, { key: null, address: this.#addresses.status(address, now) });
    };
    const admission = this.#addresses.admit(caller, address, this.#clock());
    return admission instanceof Promise ? admission.then(settle) : settle(admission);
  }

  /** An address that was refused has nothing left, whatever else is known of it. */
  #spent(address: AddressState, now: number): LimitStatus {
    return { ...this.#addresses.status(address, now), remaining: 0 };
  }
}

/** What both limits decided; the address's is null for a key that is exempt from it. */
interface Verdicts<K, A> {
  readonly byKey: K;
  readonly address: AddressState | null;
  readonly byAddress: A | null;
}

function refused(refusal: Refusal, key: LimitStatus | null, address: LimitStatus | null): Admission<never> {
  return { ok: false, refusal, limits: { key, address } };
}
