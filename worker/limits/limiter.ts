// Lets requests in by what the isolate holds of their limits, and asks the limiter objects where it holds nothing.
// With tokens at hand nothing is waited for; what is asked ahead runs on beside the answer. A promise of one
// request is never another's: each that must wait asks for itself. What one limit refuses spends nothing of the
// other.
import type { Refusal } from "../../shared/errors.ts";
import type { FleetConfig } from "../../shared/fleet.ts";
import type { KeyRecord } from "../../shared/principal.ts";
import { AddressLimits, type AddressAdmission } from "./address-limit.ts";
import type { Caller } from "./caller.ts";
import type { HeldAddress } from "./address-state.ts";
import { KeyLimits, type KeyAdmission, type KeyLease, type ShownKey } from "./key-limit.ts";
import * as refusals from "./refusals.ts";
import type { LimitStatus, LimitStatuses } from "./rate-headers.ts";

/** What came of a request at its limits, and what its answer tells of them. */
export type Entry<T> =
  | { readonly ok: true; readonly value: T; readonly told: LimitStatuses }
  | { readonly ok: false; readonly refusal: Refusal; readonly told: LimitStatuses };

type Soon<T> = T | Promise<T>;

export class Limiter {
  readonly #keys: KeyLimits;
  readonly #addresses: AddressLimits;
  readonly #clock: () => number;

  /** @param clock milliseconds since 1970, as the isolate sees it. */
  constructor(fleet: FleetConfig, clock: () => number) {
    this.#keys = new KeyLimits(fleet.limits.perKeyPerSecond, clock);
    this.#addresses = new AddressLimits(fleet.limits.perAddressPerSecond, clock);
    this.#clock = clock;
  }

  /** By the address's limit alone. */
  visit(asker: Caller): Soon<Entry<null>> {
    const now = this.#clock();
    const address = this.#addresses.at(asker, now);
    const admission = this.#addresses.admit(asker, address, now);
    return admission instanceof Promise
      ? admission.then((came) => this.#visited(address, came))
      : this.#visited(address, admission);
  }

  /** Shows what can be no key, none, or a bad one: counted against its address, and refused. */
  turnAway(asker: Caller, refusal: Refusal, key: ShownKey | null = null): Soon<Entry<never>> {
    const now = this.#clock();
    const address = this.#addresses.at(asker, now);
    const admission = this.#addresses.admit(asker, address, now);
    return admission instanceof Promise
      ? admission.then((came) => this.#turnedAway(address, came, refusal, key))
      : this.#turnedAway(address, admission, refusal, key);
  }

  /** Whether the key's object spoke for it so lately that it can't have been revoked for longer than a lease lives. */
  isFresh(key: ShownKey): boolean {
    const now = this.#clock();
    return this.#keys.at(key, now).isTold(now);
  }

  /** By a key's limit and its address's. */
  enter(asker: Caller, key: ShownKey): Soon<Entry<KeyRecord>> {
    const now = this.#clock();
    const lease = this.#keys.at(key, now);
    const standing = lease.standing(now);
    const { value } = lease;
    if (value !== null && value.quotaSpent && asker.calls && lease.isTold(now)) {
      const told = { key: this.#keys.told(lease, value.record, now), address: null };
      return { ok: false, refusal: refusals.quotaExceeded(value.record, now), told };
    }
    if (value === null || standing === "ask") return this.#enterAsking(asker, key, lease, now);
    const { record } = value;
    const address = record.addressExempt ? null : this.#addresses.at(asker, now);
    const shieldedForMs = address?.shieldedForMs(now) ?? 0;
    if (shieldedForMs > 0) return refused(refusals.addressShielded(shieldedForMs), null, null);
    if (standing === "spent") {
      this.#keys.askAhead(asker, key, lease, now);
      const told = this.#keys.told(lease, record, now);
      return refused(refusals.keyLimitReached(told.perSecond, told.resetMs), { ...told, remaining: 0 }, null);
    }
    if (address !== null) {
      const there = this.#addresses.standing(asker, address, now);
      if (there === "ask") {
        const taken = lease.take(standing);
        return this.#enterByAddress(asker, lease, { record, taken }, address, now);
      }
      this.#addresses.askAhead(asker, address, now);
      if (there === "spent") return this.#atAddressLimit(lease, record, address, now);
      address.take(there);
    }
    lease.take(standing);
    this.#keys.askAhead(asker, key, lease, now);
    return { ok: true, value: record, told: this.#told(lease, record, address, now) };
  }

  /** The key's token is at hand, the address's has to be asked for. */
  async #enterByAddress(
    asker: Caller,
    lease: KeyLease,
    { record, taken }: { readonly record: KeyRecord; readonly taken: Parameters<KeyLease["giveBack"]>[0] },
    address: HeldAddress,
    askedAt: number,
  ): Promise<Entry<KeyRecord>> {
    const admission = await this.#addresses.ask(asker, address, askedAt);
    const now = this.#clock();
    if (admission.ok) return { ok: true, value: record, told: this.#told(lease, record, address, now) };
    lease.giveBack(taken, now);
    return refused(admission.refusal, this.#keys.told(lease, record, now), this.#spent(address, now));
  }

  /** The key has to be asked for; its address is asked side by side, where it has to be. */
  async #enterAsking(
    asker: Caller,
    key: ShownKey,
    lease: KeyLease,
    askedAt: number,
  ): Promise<Entry<KeyRecord>> {
    const fault = this.#keys.fault(key, askedAt);
    if (fault !== null) return this.turnAway(asker, refusals.keyFault(fault), key);
    let address = this.#keys.isExempt(key, lease) ? null : this.#addresses.at(asker, askedAt);
    const suspect = address !== null && address.keysRefusedForMs(askedAt) > 0;
    if (suspect && !this.#keys.isKnownGood(key, lease, askedAt)) {
      return this.turnAway(asker, refusals.keyFault("unknown"), key);
    }
    const atAddress = address === null ? null : this.#addresses.admit(asker, address, askedAt);
    if (address !== null && atAddress !== null && "ok" in atAddress && !atAddress.ok) {
      return refused(atAddress.refusal, null, this.#spent(address, askedAt));
    }
    const asked = this.#keys.admit(asker, key, lease, askedAt);
    let admission = await atAddress;
    const admitted = await asked;
    if (!admitted.ok) return this.#refusedKey(asker, key, admitted, address, admission);
    if (admitted.record.addressExempt) {
      if (admission?.ok === true) address?.giveBack(admission.taken, this.#clock());
      return { ok: true, value: admitted.record, told: { key: admitted.told, address: null } };
    }
    // It was free of the address limit when its object last spoke, and is no more.
    address ??= this.#addresses.at(asker, this.#clock());
    admission ??= await this.#addresses.admit(asker, address, this.#clock());
    const now = this.#clock();
    if (admission.ok) {
      const told = { key: admitted.told, address: this.#addresses.told(address, now) };
      return { ok: true, value: admitted.record, told };
    }
    if (admitted.taken !== null) lease.giveBack(admitted.taken, now);
    return refused(
      admission.refusal,
      this.#keys.told(lease, admitted.record, now),
      this.#spent(address, now),
    );
  }

  /** A key that is known and refused leaves its address's token; an unknown one pays for the question, and counts. */
  #refusedKey(
    asker: Caller,
    key: ShownKey,
    { refusal, told }: KeyAdmission & { readonly ok: false },
    address: HeldAddress | null,
    admission: AddressAdmission | null,
  ): Entry<never> {
    const now = this.#clock();
    if (refusal.code === "invalid_key") {
      // The exemption was the key's.
      const held = address ?? this.#addresses.at(asker, now);
      if (this.#keys.countsAsFailed(key, now)) {
        held.noteFailedKey(now);
        this.#addresses.report(asker, held, now);
      }
    } else if (admission?.ok === true) {
      address?.giveBack(admission.taken, now);
    }
    if (address !== null && admission?.ok === false) {
      return refused(admission.refusal, told, this.#spent(address, now));
    }
    return refused(refusal, told, null);
  }

  #visited(address: HeldAddress, admission: AddressAdmission): Entry<null> {
    const now = this.#clock();
    if (!admission.ok) return refused(admission.refusal, null, this.#spent(address, now));
    return { ok: true, value: null, told: { key: null, address: this.#addresses.told(address, now) } };
  }

  #turnedAway(
    address: HeldAddress,
    admission: AddressAdmission,
    refusal: Refusal,
    key: ShownKey | null,
  ): Entry<never> {
    const now = this.#clock();
    if (!admission.ok) return refused(admission.refusal, null, this.#spent(address, now));
    const told = this.#addresses.told(address, now);
    if (refusal.code !== "invalid_key") return refused(refusal, null, told);
    const refusedForMs = address.keysRefusedForMs(now);
    if (refusedForMs > 0) return refused(refusals.tooManyFailedKeys(refusedForMs), null, told);
    if (key === null || this.#keys.countsAsFailed(key, now)) address.noteFailedKey(now);
    return refused(refusal, null, told);
  }

  #atAddressLimit(lease: KeyLease, record: KeyRecord, address: HeldAddress, now: number): Entry<never> {
    const refusal = this.#addresses.reached(address, now);
    return refused(refusal, this.#keys.told(lease, record, now), this.#spent(address, now));
  }

  #told(lease: KeyLease, record: KeyRecord, address: HeldAddress | null, now: number): LimitStatuses {
    return {
      key: this.#keys.told(lease, record, now),
      address: address === null ? null : this.#addresses.told(address, now),
    };
  }

  /** An address at its limit has nothing left, whatever else is known. */
  #spent(address: HeldAddress, now: number): LimitStatus {
    return { ...this.#addresses.told(address, now), remaining: 0 };
  }
}

function refused(refusal: Refusal, key: LimitStatus | null, address: LimitStatus | null): Entry<never> {
  return { ok: false, refusal, told: { key, address } };
}
