// What an isolate and a limiter object say to each other: some tokens of a window, and until when they count.
// The object never grants more than its limit in a window; what an isolate doesn't spend is lost with it.
import type { KeyRecord } from "../../shared/principal.ts";

/** An isolate asks for some of a window's tokens. */
export interface LeaseQuestion {
  /** Tokens wanted of the window the question falls in; the object may grant fewer. */
  readonly want: number;
  /** Of those, the tokens for calls that wait for this answer: for them the object gives what it has. */
  readonly waiting: number;
  /** Tokens wanted of the window after it, where demand is steady; 0 for none. */
  readonly wantNext: number;
}

/**
 * What an object grants. `endsInMs` counts from when the question was SENT and `startsInMs` from when the answer
 * CAME: no clocks need agree, and a slow answer only shortens a lease.
 */
export interface Lease {
  readonly granted: number;
  /** Left in this window after the grant. */
  readonly remaining: number;
  readonly endsInMs: number;
  readonly next: NextLease | null;
}

/** Tokens of the window after this one. */
export interface NextLease {
  readonly granted: number;
  /** Left in it after the grant. */
  readonly remaining: number;
  readonly startsInMs: number;
  readonly endsInMs: number;
}

/** A question to a key's object. */
export interface KeyLeaseQuestion extends LeaseQuestion {
  /** SHA-256 of the key the client showed, hexadecimal. */
  readonly secretHash: string;
  /** For keys that the fleet file or the development set-up isFresh for: the object stores nothing of them. */
  readonly standing: KeyRecord | null;
  /** For the deployment's first admin key, which counts only until another admin key took its place; else null. */
  readonly first: FirstKeyUse | null;
}

/** Who shows the first admin key, for the audit. */
export interface FirstKeyUse {
  readonly keyId: string;
  readonly requestId: string;
}

export type KeyLeaseAnswer =
  /** `lease.granted` is 0 where the window is spent. */
  | {
      readonly kind: "known";
      readonly record: KeyRecord;
      readonly lease: Lease;
      /** The month's tokens are used up: no call is admitted before the month ends, whatever the lease says. */
      readonly quotaSpent: boolean;
    }
  /** No such key, or not its secret, or revoked: which one is nobody's business. */
  | { readonly kind: "unknown" }
  | { readonly kind: "expired" };

/** A question to an address's object. */
export interface AddressLeaseQuestion extends LeaseQuestion {
  /** Requests a second that the fleet file allows an address. */
  readonly perSecond: number;
  /** Requests of this window that the isolate let pass unasked since it last asked; deducted first. */
  readonly passed: number;
  /** Keys from this address that turned out bad since the isolate last asked. */
  readonly failedKeys: number;
}

export interface AddressLeaseAnswer {
  readonly lease: Lease;
  /** For so long keys not known to be good are refused from this address, milliseconds; 0 where they aren't. */
  readonly keysRefusedForMs: number;
}
