// The first admin keys this deployment has had, by their hashes: the Worker's environment names one at a time. One
// counts until another admin key is made while it is in place, and from then on only while no admin key is left: the
// same secret deployed again doesn't bring it back, a new one does. Whoever can set the Worker's secrets owns it anyway.

const SCHEMA = `CREATE TABLE IF NOT EXISTS first_keys (
  place INTEGER PRIMARY KEY AUTOINCREMENT, hash TEXT NOT NULL UNIQUE,
  superseded INTEGER NOT NULL, noted INTEGER NOT NULL)`;

/** Each takes the account's owner to set a secret: a hundred is more than a deployment's life. */
const HASHES_KEPT = 100;

export type FirstKeyVerdict =
  /** `isNew`: it wasn't used since it last came to count. */
  { readonly counts: true; readonly isNew: boolean } | { readonly counts: false };

export class FirstKeys {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SCHEMA);
  }

  /** Whether a key of this hash counts now; that it was used is kept. */
  use(hash: string, hasAdminKey: () => boolean): FirstKeyVerdict {
    const [row] = this.#sql
      .exec<{ superseded: number; noted: number }>(
        "SELECT superseded, noted FROM first_keys WHERE hash = ?",
        hash,
      )
      .toArray();
    if (row?.superseded === 1 && hasAdminKey()) return { counts: false };
    if (row?.noted === 1) return { counts: true, isNew: false };
    this.#write(hash, row?.superseded ?? 0, 1);
    return { counts: true, isNew: true };
  }

  /** Another admin key took its place. */
  supersede(hash: string): void {
    this.#write(hash, 1, 0);
  }

  #write(hash: string, superseded: number, noted: number): void {
    this.#sql.exec(
      `INSERT INTO first_keys (hash, superseded, noted) VALUES (?, ?, ?)
       ON CONFLICT (hash) DO UPDATE SET superseded = excluded.superseded, noted = excluded.noted`,
      hash,
      superseded,
      noted,
    );
    this.#sql.exec(
      "DELETE FROM first_keys WHERE place <= (SELECT max(place) FROM first_keys) - ?",
      HASHES_KEPT,
    );
  }
}
