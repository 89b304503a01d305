// Calls to a limiter object: the RPC contract, the time limit and the retry. Objects and isolates can be one release
// apart: a field that is added is optional, a field that is removed is still sent for one release (design.md, 9).
import { LIMITER_TIMEOUT_MS } from "../../shared/limits.ts";
import type { KeyRecord } from "../../shared/principal.ts";
import { withTimeout } from "../http/timeout.ts";

export interface LeaseRequest {
  /** Tokens requested of the current window; the object may grant fewer. */
  readonly want: number;
  /** Client requests that wait for this answer, 0 or 1: the object grants each a token if it has one. */
  readonly waiting: number;
}

/** `endsInMs` counts from the moment the request was SENT: no clocks need to agree, and a slow answer only shortens a lease. */
export interface LeaseGrant {
  /** 0 if the window is spent. */
  readonly granted: number;
  /** Tokens left in the window after the grant. */
  readonly remaining: number;
  readonly endsInMs: number;
}

export interface KeyLeaseRequest extends LeaseRequest {
  /** SHA-256 of the key that the client sent, in hexadecimal. */
  readonly secretHash: string;
  /** The record of a key that the fleet file or the environment defines; the object stores nothing of it. */
  readonly builtInRecord: KeyRecord | null;
  /** Set for the deployment's first admin key, which is valid until another admin key replaces it. */
  readonly first: FirstKeyUse | null;
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
  /** How long keys that an isolate doesn't know are checked one at a time; 0 if this address sent few invalid keys. */
  readonly suspectForMs: number;
}

/**
 * Calls a limiter object: at most twice, within LIMITER_TIMEOUT_MS in total (design.md, 8).
 * @param attempt makes a stub of its own, because a broken one can stay broken; resolves with null if the answer came
 * too late to be used
 * @returns null if no attempt brought a usable answer in time
 */
export async function callObject<T>(attempt: () => Promise<T | null>): Promise<T | null> {
  try {
    return await withTimeout(upToTwice(attempt), LIMITER_TIMEOUT_MS);
  } catch {
    return null;
  }
}

async function upToTwice<T>(attempt: () => Promise<T | null>): Promise<T | null> {
  try {
    const result = await attempt();
    if (result !== null) return result;
  } catch (error) {
    if (isOverloaded(error)) throw error;
  }
  return attempt();
}

/** The platform's mark on an error of an object that has too much to do: a second call would make it worse. */
function isOverloaded(error: unknown): boolean {
  return error instanceof Error && "overloaded" in error && error.overloaded === true;
}
