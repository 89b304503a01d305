// A key as the admin API shows it, made of what is kept of it. Pure, the clock passed in.
import type { KeyView } from "../../shared/keys.ts";
import type { KeyRecord } from "../../shared/principal.ts";

/** A key's times, milliseconds since 1970. */
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

/** A key that the fleet file isFresh for. */
export function legacyKeyView(id: string, record: KeyRecord, now: number): KeyView {
  return { ...keyView(id, record, TIMELESS, now), state: "legacy" };
}

/** What was written down a while ago, as it is now. */
export function viewAt(view: KeyView, now: number): KeyView {
  const past = (time: string | null): boolean => time !== null && Date.parse(time) <= now;
  const state = view.revokedAt !== null ? "revoked" : past(view.expiresAt) ? "expired" : "active";
  const over = state === "revoked" || past(view.oldSecretUntil);
  return { ...view, state, oldSecretUntil: over ? null : view.oldSecretUntil };
}

function iso(time: number | null): string | null {
  return time === null ? null : new Date(time).toISOString();
}
