// Converts keys to rows of the registry's index, and divides lists into pages. Pure.
import type { KeyView } from "../../shared/keys.ts";

/** A key as its object reports it. */
export interface KeyCopy {
  readonly view: KeyView;
  /** Increases with each change of the key; the newer of two copies is valid. */
  readonly version: number;
}

interface KeyRow {
  readonly id: string;
  readonly version: number;
  readonly admin: 0 | 1;
  readonly revokedAt: number | null;
  readonly expiresAt: number | null;
  readonly view: string;
}

export function rowOf({ view, version }: KeyCopy): KeyRow {
  return {
    id: view.id,
    version,
    admin: view.scopes.includes("admin") ? 1 : 0,
    revokedAt: milliseconds(view.revokedAt),
    expiresAt: milliseconds(view.expiresAt),
    view: JSON.stringify(view),
  };
}

/** SQL conditions for a state; the parameter is the time. Legacy keys are only in the fleet file. */
export const STATE_CLAUSES: Readonly<Record<KeyView["state"], string>> = {
  active: "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)",
  expired: "revoked_at IS NULL AND expires_at <= ?",
  revoked: "revoked_at IS NOT NULL AND ? IS NOT NULL",
  legacy: "? IS NULL",
};

/**
 * A page of a list.
 * @param found up to `limit` entries, and one more if there is one
 */
export function pageOf<T>(
  found: readonly T[],
  limit: number,
  cursorOf: (entry: T) => string,
): { readonly entries: T[]; readonly next: string | null } {
  const entries = found.slice(0, limit);
  const last = entries.at(-1);
  return { entries, next: found.length > limit && last !== undefined ? cursorOf(last) : null };
}

function milliseconds(time: string | null): number | null {
  return time === null ? null : Date.parse(time);
}
