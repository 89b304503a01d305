// The RPC contract between an isolate and a limiter object. Objects and isolates can be one release apart: a field that
// is added is optional, a field that is removed is still sent for one release (design.md, 9).
import type { KeyRecord } from "../../shared/principal.ts";

export interface LeaseRequest {
  /** Tokens requested of the current window; the object may grant fewer. */
  readonly want: number;
  /** Client requests that wait for this answer, 0 or 1: the object grants them a token each while it has any. */
  readonly waiting: number;
}

/** `endsInMs` counts from the moment the request was SENT: no clocks need to agree, and a slow answer only shortens a lease. */
export interface LeaseGrant {
  /** 0 if the window is spent. */
  readonly granted: number;
  /** Tokens left in the window after the grant. */
  readonly remaining: number;
  readonly endsInMs: number;
  /** Read by isolates of the previous release only, which fail without it. */
  readonly next?: null;
}

export interface KeyLeaseRequest extends LeaseRequest {
  /** SHA-256 of the key that the client sent, in hexadecimal. */
  readonly secretHash: string;
  /** The record of a key that the fleet file or the environment defines; the object stores nothing of it. */
  readonly builtInRecord: KeyRecord | null;
  /** The same for objects of the previous release, which read it under this name. */
  readonly standing?: KeyRecord | null;
  /** Set for the deployment's first admin key, which is valid until another admin key replaces it. */
  readonly first: FirstKeyUse | null;
}

/** Isolates of the previous release send the record as `standing` only. */
export function builtInRecordOf({ builtInRecord, standing }: Partial<KeyLeaseRequest>): KeyRecord | null {
  return builtInRecord ?? standing ?? null;
}

/** A use of the first admin key, for the audit. */
export interface FirstKeyUse {
  readonly keyId: string;
  readonly requestId: string;
}

export type KeyLeaseAnswer =
  | {
      readonly kind: "known";
      readonly record: KeyRecord;
      readonly lease: LeaseGrant;
      /** The month's tokens are used up: no model call is admitted before the month ends, with or without a token. */
      readonly quotaSpent: boolean;
    }
  /** No such key, the wrong secret, or a revoked key; the answer doesn't reveal which. */
  | { readonly kind: "unknown" }
  | { readonly kind: "expired" };

export interface AddressLeaseRequest extends LeaseRequest {
  /** Requests per second that the fleet file allows an address. */
  readonly perSecond: number;
  /** Requests that the isolate admitted without a token since its last lease request; deducted first. */
  readonly passed: number;
  /** Keys from this address that turned out invalid since the isolate's last lease request. */
  readonly failedKeys: number;
}

export interface AddressLeaseAnswer {
  readonly lease: LeaseGrant;
  /** How long keys that aren't known to be good are refused from this address; 0 if they are accepted. */
  readonly keysRefusedForMs: number;
}
