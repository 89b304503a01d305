// Builds the admin API's view of a key from its record. Pure; the clock is passed in.
import type { KeyView } from "../../shared/keys.ts";
import type { KeyRecord } from "../../shared/principal.ts";

/** In milliseconds since 1970. */
interface KeyTimes {
  readonly createdAt: number | null;
  readonly revokedAt: number | null;
  readonly oldSecretUntil: number | null;
}

const TIMELESS: KeyTimes = { createdAt: null, revokedAt: null, oldSecretUntil: null };

export function keyView(id: string, record: KeyRecord, times: KeyTimes, now: number): KeyView {
  const { name, scopes, agents, limits, priority, fallback, addressExempt } = record;
  const view: KeyView = {
    id,
    name,
    state: "active",
    scopes,
    agents,
    limits,
    priority,
    fallback,
    addressExempt,
    expiresAt: iso(record.expiresAt),
    createdAt: iso(times.createdAt),
    revokedAt: iso(times.revokedAt),
    oldSecretUntil: iso(times.oldSecretUntil),
  };
  return viewAt(view, now);
}

/** The view of a key that the fleet file defines. */
export function legacyKeyView(id: string, record: KeyRecord, now: number): KeyView {
  return { ...keyView(id, record, TIMELESS, now), state: "legacy" };
}

/** A stored view with its current state. */
export function viewAt(view: KeyView, now: number): KeyView {
  const past = (time: string | null): boolean => time !== null && Date.parse(time) <= now;
  const state = view.revokedAt !== null ? "revoked" : past(view.expiresAt) ? "expired" : "active";
  const isOver = state === "revoked" || past(view.oldSecretUntil);
  return { ...view, state, oldSecretUntil: isOver ? null : view.oldSecretUntil };
}

function iso(time: number | null): string | null {
  return time === null ? null : new Date(time).toISOString();
}
