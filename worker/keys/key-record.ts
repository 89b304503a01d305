// A key as its object stores it, and every change to it. Pure; the clock is passed in.
import { monthName } from "../../shared/calendar.ts";
import type { AuditEntry, AuditValue, KeyView } from "../../shared/keys.ts";
import { isSameText } from "../auth/keyed-hash.ts";
import { keyView } from "./key-view.ts";
import type { LeaseGrant } from "../limits/lease-request.ts";
import type { KeyRecord, RecordChange } from "../../shared/principal.ts";

interface StoredSecret {
  /** SHA-256 of the complete key, in hexadecimal. */
  readonly hash: string;
  /** When it expires, in milliseconds since 1970; null for the newest one. */
  readonly until: number | null;
}

export interface StoredKey {
  readonly id: string;
  readonly record: KeyRecord;
  /** Newest first, at most two. */
  readonly secrets: readonly StoredSecret[];
  readonly createdAt: number;
  readonly revokedAt: number | null;
  /** The month's tokens as the ledger last reported them; null if it doesn't watch this key. */
  readonly month: MonthTokens | null;
  /** Increases with each change, so that the newer of two copies is known. */
  readonly version: number;
  readonly pending: PendingReports;
}

interface MonthTokens {
  /** `2026-11`, UTC. */
  readonly month: string;
  readonly tokens: number;
}

/** What must still be reported to the deployment's other objects; it is stored, so that a crash loses none of it. */
interface PendingReports {
  /** The registry has no copy of the current version. */
  readonly copy: boolean;
  /** The registry never had a copy: the secret was not returned yet, so a crash now revokes the key. */
  readonly creation: boolean;
  /** The ledger doesn't know yet whether to watch this key. */
  readonly ledger: boolean;
  readonly audit: readonly AuditEntry[];
  /** Hash of the first admin key that this key replaced. */
  readonly superseded: string | null;
}

/** The admin key and the request of a change. */
export interface By {
  readonly actor: string;
  readonly requestId: string;
  /** Hash of the first admin key in the Worker's environment, if the change can create an admin key. */
  readonly firstKey?: string | null;
}

/** The result for a secret. `until`: when it expires, in milliseconds since 1970; null if it has no end. */
export type KeyVerdict =
  | {
      readonly kind: "known";
      readonly record: KeyRecord;
      readonly quotaSpent: boolean;
      readonly until: number | null;
    }
  | { readonly kind: "unknown" }
  | { readonly kind: "expired" };

export const UNKNOWN = { kind: "unknown" } as const satisfies KeyVerdict;

/** Only a caller with a valid secret learns that the key has expired. */
export function identify(key: StoredKey | null, secretHash: string, now: number): KeyVerdict {
  if (key === null || key.revokedAt !== null) return UNKNOWN;
  const secret = key.secrets.find(({ hash }) => isSameText(secretHash, hash));
  if (secret === undefined || (secret.until !== null && secret.until <= now)) return UNKNOWN;
  const verdict = builtInVerdict(key.record, now);
  if (verdict.kind !== "known") return verdict;
  return { ...verdict, quotaSpent: quotaSpent(key, now), until: earlier(verdict.until, secret.until) };
}

/** The verdict for a key that the fleet file or the environment defines. */
export function builtInVerdict(record: KeyRecord, now: number): KeyVerdict {
  if (record.expiresAt !== null && record.expiresAt <= now) return { kind: "expired" };
  return { kind: "known", record, quotaSpent: false, until: record.expiresAt };
}

/** Shortens a lease that would outlast `until`: no token of an expired key is spent. */
export function leaseUntil(lease: LeaseGrant, until: number | null, now: number): LeaseGrant {
  return until === null ? lease : { ...lease, endsInMs: Math.min(lease.endsInMs, until - now) };
}

function quotaSpent({ record, month }: StoredKey, now: number): boolean {
  const { tokensPerMonth } = record.limits;
  return tokensPerMonth !== null && month?.month === monthName(now) && month.tokens >= tokensPerMonth;
}

export interface Creation {
  readonly id: string;
  readonly record: KeyRecord;
  readonly secretHash: string;
}

export function createdKey({ id, record, secretHash }: Creation, by: By, now: number): StoredKey {
  const key: StoredKey = {
    id,
    record,
    secrets: [{ hash: secretHash, until: null }],
    createdAt: now,
    revokedAt: null,
    month: null,
    version: 1,
    pending: {
      copy: true,
      creation: true,
      ledger: record.limits.tokensPerMonth !== null,
      audit: [],
      superseded: isAdmin(record, now) ? (by.firstKey ?? null) : null,
    },
  };
  return audited(key, "key.create", flatRecord(record), by, now);
}

/** The changed key, or the same one if nothing differs. */
export function changedKey(key: StoredKey, change: RecordChange, by: By, now: number): StoredKey {
  const record: KeyRecord = { ...key.record, ...change, limits: { ...key.record.limits, ...change.limits } };
  const before = flatRecord(key.record);
  const after = flatRecord(record);
  const detail: AuditEntry["detail"] = {};
  for (const [field, to] of Object.entries(after)) {
    const from = before[field] ?? null;
    if (JSON.stringify(from) !== JSON.stringify(to)) detail[field] = { from, to };
  }
  if (Object.keys(detail).length === 0) return key;
  const isWatched = record.limits.tokensPerMonth !== null;
  const becomesAdmin = isAdmin(record, now) && !isAdmin(key.record, now);
  const next: StoredKey = {
    ...key,
    record,
    month: isWatched ? key.month : null,
    pending: {
      ...key.pending,
      ledger: key.pending.ledger || "limits.tokensPerMonth" in detail,
      superseded: (becomesAdmin ? by.firstKey : null) ?? key.pending.superseded,
    },
  };
  return audited(next, "key.change", detail, by, now);
}

function isAdmin({ scopes, expiresAt }: KeyRecord, now: number): boolean {
  return scopes.includes("admin") && (expiresAt === null || expiresAt > now);
}

/** Revokes a key for good. A revoked key stays the same. */
export function revokedKey(
  key: StoredKey,
  by: By,
  now: number,
  detail: AuditEntry["detail"] = {},
): StoredKey {
  if (key.revokedAt !== null) return key;
  const isWatched = key.record.limits.tokensPerMonth !== null;
  const next = { ...key, revokedAt: now, secrets: [], month: null };
  // The first admin key stays valid if the registry never got this one.
  next.pending = { ...key.pending, ledger: key.pending.ledger || isWatched, superseded: null };
  return audited(next, "key.revoke", detail, by, now);
}

/** Adds a secret: the previous one stays valid for the grace period, an older one expires now. */
export function rotatedKey(
  key: StoredKey,
  { secretHash, graceMs }: { readonly secretHash: string; readonly graceMs: number },
  by: By,
  now: number,
): StoredKey {
  const old = key.secrets[0];
  const secrets = [
    { hash: secretHash, until: null },
    ...(old === undefined || graceMs <= 0 ? [] : [{ hash: old.hash, until: now + graceMs }]),
  ];
  return audited({ ...key, secrets }, "key.rotate", { graceSeconds: graceMs / 1000 }, by, now);
}

/** Sets the month's total from the ledger. Totals only increase, so the larger of two reports is the newer one. */
export function usedKey(key: StoredKey, reported: MonthTokens): StoredKey {
  if (key.revokedAt !== null || key.record.limits.tokensPerMonth === null) return key;
  const known = key.month;
  if (known !== null && known.month > reported.month) return key;
  if (known?.month === reported.month && known.tokens >= reported.tokens) return key;
  return { ...key, month: reported };
}

/** Removes from the pending reports those that were delivered with `sent`; newer ones stay. */
export function deliveredKey(key: StoredKey, sent: StoredKey): StoredKey {
  const delivered = new Set(sent.pending.audit.map(entryName));
  return {
    ...key,
    pending: {
      ...key.pending,
      copy: key.version !== sent.version,
      creation: false,
      audit: key.pending.audit.filter((entry) => !delivered.has(entryName(entry))),
      superseded: key.pending.superseded === sent.pending.superseded ? null : key.pending.superseded,
    },
  };
}

export function hasPending({ pending }: StoredKey): boolean {
  return pending.copy || pending.creation || pending.ledger || pending.audit.length > 0;
}

/** Identifies an entry that is sent twice: a request does one action to one target. */
export function entryName({
  requestId,
  action,
  target,
}: Pick<AuditEntry, "requestId" | "action" | "target">): string {
  return JSON.stringify([requestId, action, target]);
}

export function viewOf(key: StoredKey, now: number): KeyView {
  const oldSecretUntil = key.secrets[1]?.until ?? null;
  const { createdAt, revokedAt } = key;
  return keyView(key.id, key.record, { createdAt, revokedAt, oldSecretUntil }, now);
}

function audited(
  key: StoredKey,
  action: AuditEntry["action"],
  detail: AuditEntry["detail"],
  { actor, requestId }: By,
  now: number,
): StoredKey {
  const entry: AuditEntry = {
    at: new Date(now).toISOString(),
    actor,
    action,
    target: key.id,
    detail,
    requestId,
  };
  return {
    ...key,
    version: action === "key.create" ? key.version : key.version + 1,
    pending: { ...key.pending, copy: true, audit: [...key.pending.audit, entry].slice(-MAX_PENDING_ENTRIES) },
  };
}

/** More would be pending only if the registry was unavailable during a hundred changes of one key. */
const MAX_PENDING_ENTRIES = 100;

/** A record's fields under their names in the audit. */
function flatRecord({ limits, expiresAt, ...rest }: KeyRecord): Record<string, AuditValue> {
  return {
    ...rest,
    "limits.perSecond": limits.perSecond,
    "limits.concurrent": limits.concurrent,
    "limits.tokensPerMonth": limits.tokensPerMonth,
    expiresAt: expiresAt === null ? null : new Date(expiresAt).toISOString(),
  };
}

function earlier(one: number | null, other: number | null): number | null {
  return one === null ? other : other === null ? one : Math.min(one, other);
}
