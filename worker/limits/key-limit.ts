// The keys' limits as this isolate knows them, and the questions to the keys' objects. An object's answer is
// permission and tokens in one.
import type { Refusal } from "../../shared/errors.ts";
import type { KeyLeaseAnswer, KeyLeaseQuestion, Lease } from "./lease-request.ts";
import type { KeyRecord } from "../../shared/principal.ts";
import { askObject } from "./call-object.ts";
import type { Caller } from "./caller.ts";
import type { Claim } from "../auth/credential.ts";
import { HeldLease, type Taken, type Ticket } from "./lease.ts";
import { LIFE_MS } from "./lease-sizing.ts";
import { LeasePool } from "./bounded-map.ts";
import * as refusals from "./refusals.ts";
import type { LimitStatus } from "./rate-headers.ts";
import { RefusedKeys, type KeyFault } from "./refused-keys.ts";
import { keyObject } from "../stubs.ts";

/** For how many keys an isolate holds leases, and remembers a refusal: well under 1 KiB each, of 128 MiB. */
const MAX_KEYS = 10_000;

/** A key whose object spoke for it so lately is known to be good, milliseconds: others' failed keys don't touch it. */
const KNOWN_GOOD_MS = 5 * 60_000;

/** A key as a request shows it. */
export interface ShownKey {
  readonly claim: Claim;
  /** A lease says that this very secret is good: another secret of the same id must ask for itself. */
  readonly name: string;
}

export function shownKey(claim: Claim): ShownKey {
  return { claim, name: `${claim.keyId} ${claim.secretHash}` };
}

/** What a key's object last told of it. */
export interface KeyTold {
  readonly record: KeyRecord;
  readonly quotaSpent: boolean;
}

export type KeyLease = HeldLease<KeyTold>;

export type KeyAdmission =
  | {
      readonly ok: true;
      readonly record: KeyRecord;
      readonly taken: Taken | null;
      readonly told: LimitStatus;
    }
  | {
      readonly ok: false;
      readonly refusal: Refusal;
      /** Null where the object doesn't vouch for the key. */
      readonly told: LimitStatus | null;
    };

export class KeyLimits {
  readonly #leases = new LeasePool<KeyLease>(MAX_KEYS, (now) => new HeldLease<KeyTold>(now));
  readonly #refused = new RefusedKeys(MAX_KEYS);
  readonly #perSecond: number;
  readonly #clock: () => number;

  /** @param perSecond of a key that nothing is known of */
  constructor(perSecond: number, clock: () => number) {
    this.#perSecond = perSecond;
    this.#clock = clock;
  }

  at(key: ShownKey, now: number): KeyLease {
    return this.#leases.at(key.name, now);
  }

  /** Why a key was refused a moment ago. */
  fault(key: ShownKey, now: number): KeyFault | null {
    return this.#refused.find(key.name, now);
  }

  /** Whether a key that turned out bad is to be counted against its address. */
  countsAsFailed(key: ShownKey, now: number): boolean {
    return this.#refused.counts(key.name, now);
  }

  isKnownGood(key: ShownKey, lease: KeyLease, now: number): boolean {
    return key.claim.standing !== null || lease.isToldWithin(KNOWN_GOOD_MS, now);
  }

  /** Whether a key is free of the address limit, as far as is known: most likely it is what it was. */
  isExempt(key: ShownKey, lease: KeyLease): boolean {
    return (key.claim.standing ?? lease.value?.record)?.addressExempt ?? false;
  }

  told(lease: KeyLease, record: KeyRecord, now: number): LimitStatus {
    const { perSecond } = record.limits;
    const left = lease.left(now);
    return {
      perSecond,
      remaining: Math.min(perSecond, left?.remaining ?? 0),
      resetMs: left?.resetMs ?? 1_000,
    };
  }

  /** Asks beside the answer, where it is time to. */
  askAhead(asker: Caller, key: ShownKey, lease: KeyLease, now: number): void {
    const ticket = lease.askAhead(now, this.#quotaOf(key, lease));
    if (ticket !== null) asker.context.waitUntil(this.#ask(asker, key, lease, ticket));
  }

  /** Asks for a request that waits. */
  async admit(asker: Caller, key: ShownKey, lease: KeyLease, now: number): Promise<KeyAdmission> {
    const admission = await this.#ask(asker, key, lease, lease.ask(now, this.#quotaOf(key, lease)));
    if (admission.ok || admission.refusal.code !== "rate_limited_key") return admission;
    // What was left may have come here, with the answer to another's question.
    const answeredAt = this.#clock();
    const taken = lease.rescue(answeredAt);
    if (taken === null || lease.value === null) return admission;
    const { record } = lease.value;
    return { ok: true, record, taken, told: this.told(lease, record, answeredAt) };
  }

  async #ask(asker: Caller, key: ShownKey, lease: KeyLease, ticket: Ticket): Promise<KeyAdmission> {
    this.#leases.touch(key.name);
    const { want, waiting, wantNext } = ticket;
    const { keyId, secretHash, standing, first } = key.claim;
    const use = first ? { keyId, requestId: asker.requestId } : null;
    const question: KeyLeaseQuestion = { want, waiting, wantNext, secretHash, standing, first: use };
    let sentAt = ticket.sentAt;
    const answer = await askObject<KeyLeaseAnswer>(async () => {
      sentAt = this.#clock();
      return keyObject(asker.bindings, keyId).lease(question);
    });
    const now = this.#clock();
    // An answer that was so long on its way may be older than the key's revocation.
    if (answer === null || now - sentAt > LIFE_MS) {
      lease.settle(ticket, now);
      return { ok: false, refusal: refusals.LIMITER_SILENT, told: null };
    }
    if (answer.kind !== "known") {
      this.#leases.drop(key.name);
      this.#refused.note(key.name, answer.kind, now);
      return { ok: false, refusal: refusals.keyFault(answer.kind), told: null };
    }
    const { record, quotaSpent } = answer;
    const monthIsOver = quotaSpent && asker.calls;
    const granted = answer.lease.granted > 0 && !monthIsOver;
    const used = granted ? waiting : 0;
    const taken = lease.keep(ticket, answer.lease, { record, quotaSpent }, used, now);
    const told = taken === null ? toldOf(answer.lease, record, ticket, now) : this.told(lease, record, now);
    if (granted) return { ok: true, record, taken, told };
    const refusal = monthIsOver
      ? refusals.quotaExceeded(record, now)
      : refusals.keyLimitReached(record.limits.perSecond, answer.lease.endsInMs);
    return { ok: false, refusal, told: { ...told, remaining: 0 } };
  }

  #quotaOf(key: ShownKey, lease: KeyLease): number {
    return (key.claim.standing ?? lease.value?.record)?.limits.perSecond ?? this.#perSecond;
  }
}

/** What an answer says of its own window, where the isolate is in another or can't tell. */
function toldOf(lease: Lease, record: KeyRecord, ticket: Ticket, now: number): LimitStatus {
  return {
    perSecond: record.limits.perSecond,
    remaining: lease.remaining,
    resetMs: Math.max(1, ticket.sentAt + lease.endsInMs - now),
  };
}
