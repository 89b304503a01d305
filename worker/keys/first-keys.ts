// Stores the first admin keys of this deployment by their hashes; the Worker's environment has one at a time. A first key
// is valid until another admin key is created, and after that only while no admin key is left. Deploying the same secret
// again doesn't restore it; a new one is valid. An operator who can set the Worker's secrets controls it anyway.

const SCHEMA = `CREATE TABLE IF NOT EXISTS first_keys (
  place INTEGER PRIMARY KEY AUTOINCREMENT, hash TEXT NOT NULL UNIQUE,
  superseded INTEGER NOT NULL, noted INTEGER NOT NULL)`;

/** Each needs a new secret from the account's owner: a hundred is more than a deployment ever uses. */
const HASHES_KEPT = 100;

type FirstKeyVerdict =
  /** `isNew`: this is its first use since it became valid. */
  { readonly isValid: true; readonly isNew: boolean } | { readonly isValid: false };

export class FirstKeys {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SCHEMA);
  }

  /** Whether the key with this hash is valid now. The use is noted. */
  use(hash: string, hasAdminKey: () => boolean): FirstKeyVerdict {
    const [row] = this.#sql
      .exec<{ superseded: number; noted: number }>(
        "SELECT superseded, noted FROM first_keys WHERE hash = ?",
        hash,
      )
      .toArray();
    if (row?.superseded === 1 && hasAdminKey()) return { isValid: false };
    if (row?.noted === 1) return { isValid: true, isNew: false };
    this.#write(hash, row?.superseded ?? 0, 1);
    return { isValid: true, isNew: true };
  }

  /** Another admin key replaced it. */
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
