// Asks the limiter objects for tokens and keeps what is left of them. The one place that calls the objects;
// what a refusal of theirs means to the client is said here, in the words of the error table.
import { refuse, type Refusal } from "../../shared/errors.ts";
import { LEASE_MARGIN_MS, LIMITER_TIMEOUT_MS } from "../../shared/limits.ts";
import type { KeyLeaseAnswer, Lease } from "../../shared/leases.ts";
import type { KeyRecord } from "../../shared/principal.ts";
import type { Bindings } from "../env.ts";
import { inTime } from "../proxy/in-time.ts";
import { INVALID, type Claim } from "./credential.ts";
import { LeasePool, type Token } from "./lease-pool.ts";

/** One token a lease: exact, at the price of an object call for each request that finds none at hand. */
const TOKENS_A_LEASE = 1;

/** For how many keys and addresses an isolate holds tokens: some 200 bytes each, of 128 MiB. */
const MAX_KEYS = 10_000;
const MAX_ADDRESSES = 50_000;

/** A token that was granted, and how to give it back unspent; or why there is none. */
export type Admission<T> =
  | { readonly ok: true; readonly value: T; readonly giveBack: () => void }
  | { readonly ok: false; readonly refusal: Refusal };

export interface Limiter {
  /** A token of a key's window, and with it the word that the key is good. */
  key(bindings: Bindings, claim: Claim): Promise<Admission<KeyRecord>>;
  /** Whether the key was free of the address limit when its object last spoke. */
  wasExempt(claim: Claim): boolean;
  /** A token of an address's window. */
  address(bindings: Bindings, name: string, perSecond: number): Promise<Admission<null>>;
}

/** @param clock milliseconds since 1970, as the isolate sees it. */
export function createLimiter(clock: () => number): Limiter {
  const keys = new LeasePool<KeyRecord>(MAX_KEYS);
  const addresses = new LeasePool<null>(MAX_ADDRESSES);
  const exempt = new RecentNames(MAX_KEYS);

  function admit<T>(pool: LeasePool<T>, name: string, token: Token<T>): Admission<T> {
    return { ok: true, value: token.value, giveBack: () => pool.add(name, token, 1, clock()) };
  }

  /** Spends one token of a lease that has come, keeps the others. */
  function settle<T>(
    pool: LeasePool<T>,
    name: string,
    value: T,
    lease: Lease,
    askedAt: number,
  ): Admission<T> | null {
    if (lease.granted < 1) return null;
    const token = { value, endsAt: askedAt + lease.endsInMs - LEASE_MARGIN_MS };
    pool.add(name, token, lease.granted - 1, clock());
    return admit(pool, name, token);
  }

  return {
    async key(bindings, claim) {
      const name = nameOf(claim);
      const held = keys.take(name, clock());
      if (held !== null) return admit(keys, name, held);
      const askedAt = clock();
      const question = { want: TOKENS_A_LEASE, secretHash: claim.secretHash, standing: claim.standing };
      const answer = await ask<KeyLeaseAnswer>(async () =>
        bindings.API_KEY.getByName(claim.keyId).lease(question),
      );
      if (answer === null) return LIMITER_SILENT;
      if (answer.kind !== "known") return answer.kind === "unknown" ? UNKNOWN_KEY : EXPIRED_KEY;
      const { record, lease } = answer;
      exempt.note(name, record.addressExempt);
      return (
        settle(keys, name, record, lease, askedAt) ??
        refuse(
          "rate_limited_key",
          `This API key may make ${record.limits.perSecond} requests a second and has made them. Wait for the next second.`,
          { retryAfterMs: lease.endsInMs },
        )
      );
    },

    wasExempt: (claim) => exempt.has(nameOf(claim)),

    async address(bindings, name, perSecond) {
      const held = addresses.take(name, clock());
      if (held !== null) return admit(addresses, name, held);
      const askedAt = clock();
      const question = { want: TOKENS_A_LEASE, perSecond };
      const lease = await ask<Lease>(async () => bindings.CLIENT_ADDRESS.getByName(name).lease(question));
      if (lease === null) return LIMITER_SILENT;
      return (
        settle(addresses, name, null, lease, askedAt) ??
        refuse(
          "rate_limited_ip",
          `Your address may make ${perSecond} requests a second and has made them. Wait for the next second.`,
          {
            retryAfterMs: lease.endsInMs,
          },
        )
      );
    },
  };
}

/** A token tells that this very secret is good: another secret of the same id must ask for itself. */
function nameOf(claim: Claim): string {
  return `${claim.keyId} ${claim.secretHash}`;
}

/** A bounded set that forgets what it was told longest ago. */
class RecentNames {
  readonly #names = new Set<string>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  note(name: string, belongs: boolean): void {
    this.#names.delete(name);
    if (!belongs) return;
    this.#names.add(name);
    for (const oldest of this.#names) {
      if (this.#names.size <= this.#most) return;
      this.#names.delete(oldest);
    }
  }
}

const UNKNOWN_KEY = refuse("invalid_key", INVALID);
const EXPIRED_KEY = refuse(
  "expired_key",
  "This API key has expired. Ask whoever gave it to you for a new one.",
);
const LIMITER_SILENT = refuse(
  "limiter_unavailable",
  "The limits could not be checked just now, so nothing was let through. Ask again.",
  {
    retryAfterMs: 1_000,
  },
);

/**
 * Asks an object, once more on a fresh stub if it throws (a stub can stay broken), never past the time-out.
 * @returns null where no answer came.
 */
async function ask<T>(call: () => Promise<T>): Promise<T | null> {
  try {
    return await inTime(call().catch(call), LIMITER_TIMEOUT_MS);
  } catch {
    return null;
  }
}
