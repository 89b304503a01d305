// What an isolate and a limiter object say to each other: some tokens of a window, and until when they count.
// The object never grants more than its limit in a window; what an isolate doesn't spend is lost with it.
import type { KeyRecord } from "./principal.ts";

/** An isolate asks for some of a window's tokens. */
export interface LeaseQuestion {
  /** Tokens wanted; the object may grant fewer. */
  readonly want: number;
}

/** What an object grants. `endsInMs` counts from when the question was SENT: a slow answer only shortens a lease. */
export interface Lease {
  readonly granted: number;
  /** Left in this window after the grant. */
  readonly remaining: number;
  readonly endsInMs: number;
}

/** A question to a key's object. */
export interface KeyLeaseQuestion extends LeaseQuestion {
  /** SHA-256 of the secret the client showed, hexadecimal. */
  readonly secretHash: string;
  /** For keys that the fleet file or the development set-up vouches for: the object stores nothing of them. */
  readonly standing: KeyRecord | null;
}

export type KeyLeaseAnswer =
  /** `lease.granted` is 0 where the window is spent. */
  | { readonly kind: "known"; readonly record: KeyRecord; readonly lease: Lease }
  /** No such key, or not its secret, or revoked: which one is nobody's business. */
  | { readonly kind: "unknown" }
  | { readonly kind: "expired" };

/** A question to an address's object. */
export interface AddressLeaseQuestion extends LeaseQuestion {
  /** Requests a second that the fleet file allows an address. */
  readonly perSecond: number;
}
