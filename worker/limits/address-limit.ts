// The address limit in this isolate: admits requests by free passes and leased tokens, sends the lease requests to the
// addresses' objects, and counts floods at the platform's own shield (design.md, 10).
import type { Refusal } from "../../shared/errors.ts";
import { addressObject } from "../stubs.ts";
import { AddressState } from "./address-state.ts";
import type { Caller } from "./caller.ts";
import { CheckTurns } from "./failed-keys.ts";
import { callObject } from "./lease-request.ts";
import { LeaseTable, type PendingLease, type Token } from "./lease.ts";
import type { LimitStatus } from "./rate-headers.ts";
import * as refusals from "./refusals.ts";
import type { LimitRefusal } from "./refusals.ts";

/** For how many addresses an isolate counts, of its 128 MiB (test/limits/memory.test.ts). */
const MAX_ADDRESSES = 100_000;

/** `token`: null for a free pass. */
export type AddressAdmission = LimitRefusal | { readonly ok: true; readonly token: Token | null };

export class AddressLimits {
  readonly #states = new LeaseTable(MAX_ADDRESSES, () => new AddressState());
  readonly #perSecond: number;
  readonly #clock: () => number;

  constructor(perSecond: number, clock: () => number) {
    this.#perSecond = perSecond;
    this.#clock = clock;
  }

  at({ address }: Caller, now: number): AddressState {
    return this.#states.at(address, now);
  }

  /** Admits or refuses a request: at once, unless a lease request has to be sent. */
  admit(caller: Caller, state: AddressState, now: number): AddressAdmission | Promise<AddressAdmission> {
    const shieldedForMs = state.shieldedForMs(now);
    if (shieldedForMs > 0) return this.#refused(state, refusals.addressShielded(shieldedForMs), now);
    const availability = state.availability(now, this.#perSecond);
    if (availability !== "free") this.#countAtShield(caller, state);
    if (availability === "none") return this.#send(caller, state, state.request(now, this.#perSecond));
    if (availability === "spent") return this.#spent(state, now);
    const token = state.take(availability, now);
    const topUp = state.topUp(now, this.#perSecond);
    if (topUp !== null) caller.context.waitUntil(this.#send(caller, state, topUp));
    return { ok: true, token };
  }

  /** Reports failed keys to the address's object, because other isolates count them too. */
  report(caller: Caller, state: AddressState, now: number): void {
    caller.context.waitUntil(this.#send(caller, state, state.report(now)));
  }

  /** Turns for the checks of keys that the isolate doesn't know, if the address is suspect. */
  checkTurns(state: AddressState, now: number): CheckTurns | null {
    return state.isSuspect(now) ? (state.checkTurns ??= new CheckTurns(this.#clock)) : null;
  }

  status(state: AddressState, now: number): LimitStatus {
    return state.status(now, this.#perSecond);
  }

  async #send(caller: Caller, state: AddressState, pending: PendingLease): Promise<AddressAdmission> {
    const report = state.takeReport();
    const admission = await callObject<AddressAdmission>(async () => {
      const sent = { ...pending, sentAt: this.#clock() };
      const { want, waiting } = sent;
      const request = { want, waiting, perSecond: this.#perSecond, ...report };
      const answer = await addressObject(caller.bindings, caller.address).lease(request);
      const now = this.#clock();
      const token = state.receive(sent, answer, now);
      return token === null ? this.#spent(state, now) : { ok: true, token };
    });
    return admission ?? this.#refused(state, refusals.LIMITER_UNAVAILABLE, this.#clock());
  }

  #spent(state: AddressState, now: number): LimitRefusal {
    const { perSecond, resetMs } = this.status(state, now);
    return this.#refused(state, refusals.addressLimitReached(perSecond, resetMs), now);
  }

  /** An address that is refused has nothing left, whatever else is known of it. */
  #refused(state: AddressState, refusal: Refusal, now: number): LimitRefusal {
    return { ok: false, refusal, status: { ...this.status(state, now), remaining: 0 } };
  }

  /**
   * Counts a request at the platform's shield without waiting: its verdict applies to the requests that follow. Free
   * passes aren't counted, since asking costs more than everything else here. Requests that are refused from memory
   * are, because a flood would not show otherwise.
   */
  #countAtShield(caller: Caller, state: AddressState): void {
    const shield: RateLimit | undefined = caller.bindings.ADDRESS_SHIELD;
    if (shield !== undefined) caller.context.waitUntil(this.#askShield(shield, caller.address, state));
  }

  async #askShield(shield: RateLimit, key: string, state: AddressState): Promise<void> {
    try {
      const { success } = await shield.limit({ key });
      if (!success) state.raiseShield(this.#clock());
    } catch {
      // The exact limits behind the shield apply without it.
    }
  }
}
