// One key as its object keeps it, who shows it, and all that can happen to it: pure, the clock passed in.
import type { AuditEntry, AuditValue, KeyView } from "../../shared/keys.ts";
import { keyView } from "./key-view.ts";
import type { LeaseGrant } from "../limits/lease-request.ts";
import type { KeyRecord, RecordChange } from "../../shared/principal.ts";

export interface StoredSecret {
  /** SHA-256 of the whole key, hexadecimal. */
  readonly hash: string;
  /** When it stops counting, milliseconds since 1970; null for the newest, which goes on. */
  readonly until: number | null;
}

export interface StoredKey {
  readonly id: string;
  readonly record: KeyRecord;
  /** Newest first; two at most. */
  readonly secrets: readonly StoredSecret[];
  readonly createdAt: number;
  readonly revokedAt: number | null;
  /** The month's tokens as the ledger last told them; null where nobody counts them for this key. */
  readonly month: MonthTokens | null;
  /** Grows with each change, so that of two copies the newer is known. */
  readonly version: number;
  readonly pending: PendingReports;
}

export interface MonthTokens {
  /** `2026-11`, UTC. */
  readonly month: string;
  readonly tokens: number;
}

/** What the deployment's other objects must still be told of a key: a crash in between loses none of it. */
export interface PendingReports {
  /** The registry hasn't got the key as it is now. */
  readonly copy: boolean;
  /** It never had it: nobody was told the secret, so a crash here ends the key. */
  readonly creation: boolean;
  /** The ledger must be told whether to count this key's month. */
  readonly ledger: boolean;
  readonly audit: readonly AuditEntry[];
  /** Hash of the first admin key whose place this key took: from then on that one is dead. */
  readonly superseded: string | null;
}

/** Who asked for a change: an admin key, by its request. */
export interface By {
  readonly actor: string;
  readonly requestId: string;
  /** Hash of the first admin key in the Worker's environment, where the change can make an admin key. */
  readonly firstKey?: string | null;
}

/** What a shown secret is worth. `until`: when this answer stops being true by itself, milliseconds since 1970. */
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

/** Only who shows a secret that counts learns that the key has expired. */
export function identify(key: StoredKey | null, secretHash: string, now: number): KeyVerdict {
  if (key === null || key.revokedAt !== null) return UNKNOWN;
  const secret = shownSecret(key.secrets, secretHash);
  if (secret === null || (secret.until !== null && secret.until <= now)) return UNKNOWN;
  const standing = identifyVerdict(key.record, now);
  if (standing.kind !== "known") return standing;
  return { ...standing, quotaSpent: quotaSpent(key, now), until: earlier(standing.until, secret.until) };
}

/** A key that the fleet file or the environment isFresh for. */
export function identifyVerdict(record: KeyRecord, now: number): KeyVerdict {
  if (record.expiresAt !== null && record.expiresAt <= now) return { kind: "expired" };
  return { kind: "known", record, quotaSpent: false, until: record.expiresAt };
}

/** Shortens a lease that would outlast `until`: no token of an expired key is spent. */
export function leaseUntil(lease: LeaseGrant, until: number | null, now: number): LeaseGrant {
  return until === null ? lease : { ...lease, endsInMs: Math.min(lease.endsInMs, until - now) };
}

/** Every secret is compared, and every character of it: how long it takes tells nothing of the stored ones. */
function shownSecret(secrets: readonly StoredSecret[], hash: string): StoredSecret | null {
  let found: StoredSecret | null = null;
  for (const secret of secrets) {
    let differences = secret.hash.length ^ hash.length;
    for (let at = 0; at < secret.hash.length; at += 1) {
      differences |= secret.hash.charCodeAt(at) ^ hash.charCodeAt(at % hash.length);
    }
    if (differences === 0) found = secret;
  }
  return found;
}

function quotaSpent({ record, month }: StoredKey, now: number): boolean {
  const { tokensPerMonth } = record.limits;
  return tokensPerMonth !== null && month?.month === monthOf(now) && month.tokens >= tokensPerMonth;
}

export function monthOf(now: number): string {
  return new Date(now).toISOString().slice(0, 7);
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

/** The key with a change, or itself where nothing differs. */
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
  const counted = record.limits.tokensPerMonth !== null;
  const becomesAdmin = isAdmin(record, now) && !isAdmin(key.record, now);
  const next: StoredKey = {
    ...key,
    record,
    month: counted ? key.month : null,
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

/** Final. A key that is revoked already stays as it is. */
export function revokedKey(
  key: StoredKey,
  by: By,
  now: number,
  detail: AuditEntry["detail"] = {},
): StoredKey {
  if (key.revokedAt !== null) return key;
  const counted = key.record.limits.tokensPerMonth !== null;
  const next = { ...key, revokedAt: now, secrets: [], month: null };
  // Of an admin key whose making was interrupted nobody was told: it takes nobody's place, where the registry hasn't heard of it.
  next.pending = { ...key.pending, ledger: key.pending.ledger || counted, superseded: null };
  return audited(next, "key.revoke", detail, by, now);
}

/** A second secret: the newest before it goes on for the grace, an older one ends now. */
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

/** What the ledger says the key has used. Totals of a month only grow: of two that crossed on their way the larger counts. */
export function usedKey(key: StoredKey, told: MonthTokens): StoredKey {
  if (key.revokedAt !== null || key.record.limits.tokensPerMonth === null) return key;
  const known = key.month;
  if (known !== null && known.month > told.month) return key;
  if (known?.month === told.month && known.tokens >= told.tokens) return key;
  return { ...key, month: told };
}

/** The key once what was pending in `sent` has arrived; what came to be pending since then stays. */
export function settledKey(key: StoredKey, sent: StoredKey): StoredKey {
  const arrived = new Set(sent.pending.audit.map(entryName));
  return {
    ...key,
    pending: {
      ...key.pending,
      copy: key.version !== sent.version,
      creation: false,
      audit: key.pending.audit.filter((entry) => !arrived.has(entryName(entry))),
      superseded: key.pending.superseded === sent.pending.superseded ? null : key.pending.superseded,
    },
  };
}

export function owesAnything({ pending }: StoredKey): boolean {
  return pending.copy || pending.creation || pending.ledger || pending.audit.length > 0;
}

/** One request does one thing to one key: what tells an entry from another when it is sent twice. */
export function entryName({ requestId, action, target }: AuditEntry): string {
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
    pending: { ...key.pending, copy: true, audit: [...key.pending.audit, entry].slice(-MAX_OWED_ENTRIES) },
  };
}

/** More are pending only where the registry has been away through a hundred changes of one key. */
const MAX_OWED_ENTRIES = 100;

/** A record by field, as the audit names them. */
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
