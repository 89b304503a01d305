// Renames the tables of ledgers that earlier versions created. It runs when the object starts, before any other
// statement; once a ledger has the new names it changes nothing.

const TABLES = [
  ["fresh", "recent"],
  ["facts", "usage"],
  ["rolls", "rollups"],
  ["marks", "watermarks"],
  ["notes", "meta"],
] as const;

const COLUMNS = [
  ["usage", "span", "granularity"],
  ["rollups", "span", "granularity"],
  ["watermarks", "up_to", "last_seq"],
  ["watched", "told", "pushed"],
] as const;

const META = [
  ["fold-due", "rollup-due"],
  ["forget-due", "prune-due"],
  ["forget-h", "prune-h"],
  ["forget-d", "prune-d"],
] as const;

export function renameOldTables(sql: SqlStorage): void {
  const old = sql.exec("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", TABLES[0][0]);
  if (old.toArray().length === 0) return;
  for (const [from, to] of TABLES) sql.exec(`ALTER TABLE ${from} RENAME TO ${to}`);
  for (const [table, from, to] of COLUMNS) sql.exec(`ALTER TABLE ${table} RENAME COLUMN ${from} TO ${to}`);
  for (const [from, to] of META) sql.exec("UPDATE meta SET name = ? WHERE name = ?", to, from);
}
