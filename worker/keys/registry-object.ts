// The deployment's index of keys, and the audit of operators' actions. The keys here are copies from their own objects,
// which are authoritative and resend until they are acknowledged; no request is admitted by a copy.
import { DurableObject } from "cloudflare:workers";
import type { AuditEntry, AuditList, AuditQuery, KeyList, KeyListQuery, KeyView } from "../../shared/keys.ts";
import type { FirstKeyUse } from "../limits/lease-request.ts";
import { AUDIT_ENTRIES_KEPT, MAX_KEYS } from "../../shared/limits.ts";
import { viewAt } from "./key-view.ts";
import type { Bindings } from "../env.ts";
import { FirstKeys } from "./first-keys.ts";
import { entryName } from "./key-record.ts";

const SCHEMA = [
  `CREATE TABLE IF NOT EXISTS keys (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL,
    admin INTEGER NOT NULL, revoked_at INTEGER, expires_at INTEGER, view TEXT NOT NULL)`,
  `CREATE INDEX IF NOT EXISTS admins ON keys (id) WHERE admin = 1`,
  `CREATE TABLE IF NOT EXISTS audit (
    place INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, target TEXT NOT NULL, entry TEXT NOT NULL)`,
  `CREATE INDEX IF NOT EXISTS audit_targets ON audit (target, place)`,
];

/** A key as its object reports it. */
export interface KeyCopy {
  readonly view: KeyView;
  /** Increases with each change of the key; the newer of two copies is valid. */
  readonly version: number;
}

/** SQL conditions for a state; the parameter is the time. Legacy keys are only in the fleet file. */
const STATE_CLAUSES: Readonly<Record<KeyView["state"], string>> = {
  active: "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)",
  expired: "revoked_at IS NULL AND expires_at <= ?",
  revoked: "revoked_at IS NOT NULL AND ? IS NOT NULL",
  legacy: "? IS NULL",
};

export class KeyRegistry extends DurableObject<Bindings> {
  readonly #sql: SqlStorage;
  readonly #firstKeys: FirstKeys;

  constructor(ctx: DurableObjectState, env: Bindings) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    for (const statement of SCHEMA) this.#sql.exec(statement);
    this.#firstKeys = new FirstKeys(this.#sql);
  }

  /** Whether there is an admin key other than `except` that isn't revoked, and not expired at the time `at`. */
  hasAdminKey(except: string | null = null, at = Date.now()): boolean {
    const found = this.#sql.exec(
      `SELECT 1 FROM keys WHERE admin = 1 AND id IS NOT ? AND ${STATE_CLAUSES.active} LIMIT 1`,
      except,
      at,
    );
    return found.toArray().length > 0;
  }

  /** Whether the first admin key with this hash is valid. Its first use is audited before any request is admitted. */
  admitFirstKey(hash: string, { keyId, requestId }: FirstKeyUse): boolean {
    return this.ctx.storage.transactionSync(() => {
      const verdict = this.#firstKeys.use(hash, () => this.hasAdminKey());
      if (verdict.isValid && verdict.isNew) {
        const at = new Date(Date.now()).toISOString();
        const action = "first-key.use";
        this.#noteEntry({ at, actor: keyId, action, target: keyId, detail: {}, requestId });
      }
      return verdict.isValid;
    });
  }

  /**
   * Stores a copy of a key with its audit entries. A copy that is sent twice counts once; an older copy is ignored.
   * @param superseded hash of the first admin key that was valid when this one became an admin key
   */
  keep(copy: KeyCopy, audit: readonly AuditEntry[], superseded: string | null = null): "kept" | "full" {
    const isNew = this.#sql.exec("SELECT 1 FROM keys WHERE id = ?", copy.view.id).toArray().length === 0;
    if (isNew && !this.#makeRoom()) return "full";
    this.ctx.storage.transactionSync(() => {
      this.#write(copy);
      for (const entry of audit) this.#noteEntry(entry);
      if (superseded !== null) this.#firstKeys.supersede(superseded);
    });
    return "kept";
  }

  /** @returns null if there is no key `after`. */
  list({ state, after, limit }: KeyListQuery): KeyList | null {
    const now = Date.now();
    const place = after === undefined ? 0 : this.#placeOf(after);
    if (place === null) return null;
    const clause = state === undefined ? "?1 IS NOT NULL" : STATE_CLAUSES[state].replaceAll("?", "?1");
    const rows = this.#sql
      .exec<{ view: string }>(
        `SELECT view FROM keys WHERE ${clause} AND place > ?2 ORDER BY place LIMIT ?3`,
        now,
        place,
        limit + 1,
      )
      .toArray();
    const views = rows.map(({ view }) => viewAt(JSON.parse(view) as KeyView, now));
    const page = pageOf(views, limit, ({ id }) => id);
    return { keys: page.entries, next: page.next };
  }

  audit({ target, after, limit }: AuditQuery): AuditList {
    const rows = this.#sql
      .exec<{ place: number; entry: string }>(
        `SELECT place, entry FROM audit WHERE place < ?1 ${target === undefined ? "AND ?2 IS NULL" : "AND target = ?2"}
         ORDER BY place DESC LIMIT ?3`,
        after === undefined ? Number.MAX_SAFE_INTEGER : Number(after),
        target ?? null,
        limit + 1,
      )
      .toArray();
    const page = pageOf(rows, limit, ({ place }) => String(place));
    return { entries: page.entries.map(({ entry }) => JSON.parse(entry) as AuditEntry), next: page.next };
  }

  /** Audits an operator's action on something that isn't a key. */
  note(entry: AuditEntry): void {
    this.ctx.storage.transactionSync(() => this.#noteEntry(entry));
  }

  /** Adds its outcome to an entry that was written before its action was executed; without the entry, nothing. */
  noteOutcome(
    named: Pick<AuditEntry, "requestId" | "action" | "target">,
    detail: AuditEntry["detail"],
  ): void {
    const name = entryName(named);
    const [row] = this.#sql.exec<{ entry: string }>("SELECT entry FROM audit WHERE name = ?", name).toArray();
    if (row === undefined) return;
    const entry = JSON.parse(row.entry) as AuditEntry;
    const ended: AuditEntry = { ...entry, detail: { ...entry.detail, ...detail } };
    this.#sql.exec("UPDATE audit SET entry = ? WHERE name = ?", JSON.stringify(ended), name);
  }

  #placeOf(id: string): number | null {
    const [row] = this.#sql.exec<{ place: number }>("SELECT place FROM keys WHERE id = ?", id).toArray();
    return row?.place ?? null;
  }

  /** If the index is full, deletes the key that was revoked first; its audit entries stay. */
  #makeRoom(): boolean {
    const [row] = this.#sql.exec<{ keys: number }>("SELECT count(*) AS keys FROM keys").toArray();
    if ((row?.keys ?? 0) < MAX_KEYS) return true;
    const freed = this.#sql.exec(
      `DELETE FROM keys WHERE id = (SELECT id FROM keys WHERE revoked_at IS NOT NULL ORDER BY revoked_at LIMIT 1)`,
    );
    return freed.rowsWritten > 0;
  }

  #write({ view, version }: KeyCopy): void {
    this.#sql.exec(
      `INSERT INTO keys (id, version, admin, revoked_at, expires_at, view) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET version = excluded.version, admin = excluded.admin,
         revoked_at = excluded.revoked_at, expires_at = excluded.expires_at, view = excluded.view
       WHERE excluded.version >= keys.version`,
      view.id,
      version,
      view.scopes.includes("admin") ? 1 : 0,
      milliseconds(view.revokedAt),
      milliseconds(view.expiresAt),
      JSON.stringify(view),
    );
  }

  #noteEntry(entry: AuditEntry): void {
    this.#sql.exec(
      "INSERT INTO audit (name, target, entry) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING",
      entryName(entry),
      entry.target,
      JSON.stringify(entry),
    );
    this.#sql.exec("DELETE FROM audit WHERE place <= (SELECT max(place) FROM audit) - ?", AUDIT_ENTRIES_KEPT);
  }
}

/**
 * A page of a list.
 * @param found up to `limit` entries, and one more if there is one
 */
function pageOf<T>(
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
