// The addresses' limits as this isolate knows them, the questions to the addresses' objects, and the platform's
// own shield before them.
import type { Refusal } from "../../shared/errors.ts";
import type { AddressLeaseAnswer } from "./lease-request.ts";
import { askObject } from "./call-object.ts";
import type { Caller } from "./caller.ts";
import type { AddressStanding, HeldAddress } from "./address-state.ts";
import { HeldAddresses } from "./address-table.ts";
import type { Taken, Ticket } from "./lease.ts";
import * as refusals from "./refusals.ts";
import type { LimitStatus } from "./rate-headers.ts";
import { addressObject } from "../stubs.ts";

/** `taken`: null for a free pass. */
export type AddressAdmission =
  | { readonly ok: true; readonly taken: Taken | null }
  | { readonly ok: false; readonly refusal: Refusal };

export class AddressLimits {
  readonly #addresses = new HeldAddresses();
  readonly #perSecond: number;
  readonly #clock: () => number;

  constructor(perSecond: number, clock: () => number) {
    this.#perSecond = perSecond;
    this.#clock = clock;
  }

  at(asker: Caller, now: number): HeldAddress {
    return this.#addresses.at(asker.address, now);
  }

  /** Counts a request, and says whether it can be let in. */
  standing(asker: Caller, address: HeldAddress, now: number): AddressStanding {
    const standing = address.standing(now, this.#perSecond);
    if (standing !== "free") this.#countAtShield(asker, address);
    return standing;
  }

  /** Lets a request in, or says why not: at once where that can be told. */
  admit(asker: Caller, address: HeldAddress, now: number): AddressAdmission | Promise<AddressAdmission> {
    const shieldedForMs = address.shieldedForMs(now);
    if (shieldedForMs > 0) return { ok: false, refusal: refusals.addressShielded(shieldedForMs) };
    const standing = this.standing(asker, address, now);
    if (standing === "ask") return this.ask(asker, address, now);
    this.askAhead(asker, address, now);
    if (standing === "spent") return { ok: false, refusal: this.reached(address, now) };
    return { ok: true, taken: address.take(standing) };
  }

  /** Asks for a request that waits. */
  async ask(asker: Caller, address: HeldAddress, now: number): Promise<AddressAdmission> {
    const admission = await this.#ask(asker, address, address.ask(now, this.#perSecond));
    if (admission.ok || admission.refusal.code !== "rate_limited_ip") return admission;
    // What was left may have come here, with the answer to another's question.
    const taken = address.rescue(this.#clock());
    return taken === null ? admission : { ok: true, taken };
  }

  /** Asks beside the answer, where it is time to. */
  askAhead(asker: Caller, address: HeldAddress, now: number): void {
    const ticket = address.askAhead(now, this.#perSecond);
    if (ticket !== null) asker.context.waitUntil(this.#ask(asker, address, ticket));
  }

  /** Tells the object of failed keys: other isolates must know of them. */
  report(asker: Caller, address: HeldAddress, now: number): void {
    asker.context.waitUntil(this.#ask(asker, address, address.report(now)));
  }

  told(address: HeldAddress, now: number): LimitStatus {
    return { perSecond: this.#perSecond, ...address.left(now, this.#perSecond) };
  }

  reached(address: HeldAddress, now: number): Refusal {
    return refusals.addressLimitReached(this.#perSecond, address.left(now, this.#perSecond).resetMs);
  }

  async #ask(asker: Caller, address: HeldAddress, ticket: Ticket): Promise<AddressAdmission> {
    this.#addresses.noteLease(asker.address, address);
    const question = address.question(ticket, this.#perSecond);
    const answer = await askObject<AddressLeaseAnswer>(async () =>
      addressObject(asker.bindings, asker.address).lease(question),
    );
    const now = this.#clock();
    if (answer === null) {
      address.settle(ticket, now);
      return { ok: false, refusal: refusals.LIMITER_SILENT };
    }
    const granted = answer.lease.granted > 0;
    const taken = address.keep(ticket, answer, granted ? ticket.waiting : 0, now);
    if (granted) return { ok: true, taken: taken ?? GONE };
    return { ok: false, refusal: refusals.addressLimitReached(this.#perSecond, answer.lease.endsInMs) };
  }

  /**
   * Counts a request at the platform's shield, beyond what an address may unasked, and waits for nothing: what the
   * shield says holds for those that follow. Below that an address is no flood, and asking would cost each request
   * more than all else here; a request that memory alone refuses still counts, or a flood would never show.
   */
  #countAtShield(asker: Caller, address: HeldAddress): void {
    const shield: RateLimit | undefined = asker.bindings.ADDRESS_SHIELD;
    if (shield !== undefined) asker.context.waitUntil(this.#askShield(shield, asker.address, address));
  }

  async #askShield(shield: RateLimit, key: string, address: HeldAddress): Promise<void> {
    try {
      const { success } = await shield.limit({ key });
      if (!success) address.raiseShield(this.#clock());
    } catch {
      // The limits behind it hold all the same.
    }
  }
}

/** A token of an answer that came too late to be given back. */
const GONE: Taken = { diesAt: 0, window: -1 };
