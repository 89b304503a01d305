// Stores the last 24 hours of every box for the console's charts, in the Fleet object's SQLite: one row every ten
// seconds. A GPU reading keeps the wire's field names in the code; the columns have shorter ones.
//
// Table `history`, by box and time: `gpu_gib`, `utilization`, `temperature`, `power` of all cards together; `tokens`
// (per second), `busy` and `waiting` of all servers together; `servers`, the GPU memory of each server as JSON by port.
import { DAY_MS } from "../../../shared/calendar.ts";
import { allCards, type FleetHistory } from "../../../shared/fleet-view.ts";
import type { Snapshot } from "../../../shared/wire.ts";

/** Interval between two rows of a box. */
export const HISTORY_STEP_MS = 10_000;

/** Age at which rows are deleted: 8,640 of a box are stored. */
export const HISTORY_KEPT_MS = DAY_MS;

/** Old rows are deleted once in this many inserts: deleting each time would cost more writes than the rows. */
const PRUNE_EVERY = 60;

/** Maximum number of points in an answer: a chart has about as many pixels. */
const MAX_POINTS = 720;

/** Deletes box by box, so that it uses the primary key, and includes boxes that have left the fleet. */
const PRUNE = `WITH RECURSIVE names(box) AS (
    SELECT min(box) FROM history
    UNION ALL SELECT (SELECT min(box) FROM history WHERE box > names.box) FROM names WHERE names.box IS NOT NULL
  ) DELETE FROM history WHERE box IN (SELECT box FROM names) AND at < ?`;

/**
 * Averages over steps. A bound number is a REAL, and so is its quotient, hence the cast. Next to max() SQLite takes
 * the bare column `servers` from the row that has the maximum: the newest one of the step.
 */
const READ = `SELECT max(at) AS at, avg(gpu_gib) AS memoryUsedGib, avg(utilization) AS utilizationPercent,
    avg(temperature) AS temperatureC, avg(power) AS powerWatts, avg(tokens) AS tokensPerSecond, avg(busy) AS busy,
    avg(waiting) AS waiting, servers
  FROM history WHERE box = ? AND at >= ? GROUP BY CAST(at / ? AS INTEGER) ORDER BY at`;

/** The columns of an answer that have one figure in each row. */
const FIGURES = [
  "memoryUsedGib",
  "utilizationPercent",
  "temperatureC",
  "powerWatts",
  "tokensPerSecond",
  "busy",
  "waiting",
] as const;
type Figure = (typeof FIGURES)[number];

type Row = Record<Figure, number | null> & { at: number; servers: string };

export class HistoryStore {
  readonly #sql: SqlStorage;
  /** Time of each box's newest row; queried once after a restart. */
  readonly #newest = new Map<string, number>();
  #inserted = 0;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(
      `CREATE TABLE IF NOT EXISTS history (
        box TEXT NOT NULL, at INTEGER NOT NULL, gpu_gib REAL, utilization REAL, temperature REAL, power REAL,
        tokens REAL, busy INTEGER, waiting INTEGER, servers TEXT NOT NULL, PRIMARY KEY (box, at)
      ) WITHOUT ROWID`,
    );
  }

  /** Adds a row, unless the box has one for this step already. */
  add(box: string, { servers, gpus }: Pick<Snapshot, "servers" | "gpus">, now: number): void {
    const at = now - (now % HISTORY_STEP_MS);
    if (this.#newestOf(box) >= at) return;
    this.#newest.set(box, at);
    const { memoryUsedGib, utilizationPercent, temperatureC, powerWatts } = allCards(gpus);
    this.#sql.exec(
      "INSERT OR REPLACE INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      box,
      at,
      memoryUsedGib,
      utilizationPercent,
      temperatureC,
      powerWatts,
      sumOfKnown(servers.map((server) => server.tokensPerSecond)),
      servers.reduce((sum, server) => sum + server.busy, 0),
      servers.reduce((sum, server) => sum + server.waiting, 0),
      JSON.stringify(Object.fromEntries(servers.map(({ port, gpuGib }) => [port, gpuGib]))),
    );
    this.#inserted += 1;
    if (this.#inserted % PRUNE_EVERY === 1) this.#sql.exec(PRUNE, now - HISTORY_KEPT_MS);
  }

  /** The last `minutes` of a box, averaged over steps that are long enough for at most 720 points. */
  read(box: string, minutes: number, now: number): FleetHistory {
    const spanMs = Math.min(minutes * 60_000, HISTORY_KEPT_MS);
    const stepMs = Math.ceil(spanMs / MAX_POINTS / HISTORY_STEP_MS) * HISTORY_STEP_MS;
    const rows = this.#sql.exec<Row>(READ, box, now - spanMs, stepMs).toArray();
    return historyOf(box, stepMs, rows);
  }

  #newestOf(box: string): number {
    const known = this.#newest.get(box);
    if (known !== undefined) return known;
    const [row] = this.#sql
      .exec<{ at: number | null }>("SELECT max(at) AS at FROM history WHERE box = ?", box)
      .toArray();
    const at = row?.at ?? 0;
    this.#newest.set(box, at);
    return at;
  }
}

function historyOf(box: string, stepMs: number, rows: readonly Row[]): FleetHistory {
  const servers = rows.map((row) => JSON.parse(row.servers) as Record<string, number | null>);
  const ports = [...new Set(servers.flatMap((one) => Object.keys(one)))];
  const columns = FIGURES.map((figure) => [figure, rows.map((row) => row[figure])] as const);
  return {
    box,
    stepS: stepMs / 1000,
    at: rows.map((row) => row.at),
    ...(Object.fromEntries(columns) as Record<Figure, (number | null)[]>),
    serverGib: Object.fromEntries(ports.map((port) => [port, servers.map((one) => one[port] ?? null)])),
  };
}

/** Ignores unknown figures; null if all are unknown. */
function sumOfKnown(figures: readonly (number | null)[]): number | null {
  const known = figures.filter((figure) => figure !== null);
  return known.length === 0 ? null : known.reduce((sum, figure) => sum + figure, 0);
}
