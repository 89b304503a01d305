// The last 24 hours of every box, one row every ten seconds, in the Fleet object's SQLite: what the console draws.
import { DAY_MS } from "../../../shared/calendar.ts";
import type { FleetHistory } from "../../../shared/fleet-view.ts";
import { allCards } from "../../../shared/gpu-cards.ts";
import type { Snapshot } from "../../../shared/wire.ts";

/** One row of a box every so long, milliseconds. */
export const HISTORY_STEP_MS = 10_000;

/** Rows are kept for so long, milliseconds: 8,640 a box. */
export const HISTORY_KEPT_MS = DAY_MS;

/** Old rows are removed once in so many, a write each time being more than the row itself. */
const PRUNE_EVERY = 60;

/** Most points of an answer: a chart has about as many pixels. */
const MAX_POINTS = 720;

/** Box by box, those too that the fleet lost: without the box's name it would read the whole table each time. */
const PRUNE = `WITH RECURSIVE names(box) AS (
    SELECT min(box) FROM history
    UNION ALL SELECT (SELECT min(box) FROM history WHERE box > names.box) FROM names WHERE names.box IS NOT NULL
  ) DELETE FROM history WHERE box IN (SELECT box FROM names) AND at < ?`;

interface Row extends Record<string, SqlStorageValue> {
  at: number;
  gpu_gib: number | null;
  utilization: number | null;
  temperature: number | null;
  power: number | null;
  tokens: number | null;
  busy: number | null;
  waiting: number | null;
  servers: string;
}

export class HistoryRows {
  readonly #sql: SqlStorage;
  /** When each box's newest row is from; asked once after a restart. */
  readonly #newest = new Map<string, number>();
  #written = 0;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(
      `CREATE TABLE IF NOT EXISTS history (
        box TEXT NOT NULL, at INTEGER NOT NULL, gpu_gib REAL, utilization REAL, temperature REAL, power REAL,
        tokens REAL, busy INTEGER, waiting INTEGER, servers TEXT NOT NULL, PRIMARY KEY (box, at)
      ) WITHOUT ROWID`,
    );
  }

  /** Notes what a box said, unless it is less than ten seconds since. */
  note(box: string, said: Pick<Snapshot, "servers" | "gpus">, now: number): void {
    const at = now - (now % HISTORY_STEP_MS);
    if (this.#newestOf(box) >= at) return;
    this.#newest.set(box, at);
    const cards = allCards(said.gpus);
    const { servers } = said;
    this.#sql.exec(
      "INSERT OR REPLACE INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      box,
      at,
      cards.memoryUsedGib,
      cards.utilizationPercent,
      cards.temperatureC,
      cards.powerWatts,
      sumKnown(servers.map((server) => server.tokensPerSecond)),
      servers.reduce((sum, server) => sum + server.busy, 0),
      servers.reduce((sum, server) => sum + server.waiting, 0),
      JSON.stringify(Object.fromEntries(servers.map(({ port, gpuGib }) => [port, gpuGib]))),
    );
    this.#written += 1;
    if (this.#written % PRUNE_EVERY === 1) {
      this.#sql.exec(PRUNE, now - HISTORY_KEPT_MS);
    }
  }

  /** The last `minutes` of a box: averages over steps long enough that no more than 720 are answered. */
  read(box: string, minutes: number, now: number): FleetHistory {
    const spanMs = Math.min(minutes * 60_000, HISTORY_KEPT_MS);
    const stepMs = Math.ceil(spanMs / MAX_POINTS / HISTORY_STEP_MS) * HISTORY_STEP_MS;
    // A bound number is a REAL, and so is what it divides. Beside max() SQLite takes the other columns from the row that has it: of a step's servers the newest.
    const rows = this.#sql
      .exec<Row>(
        `SELECT max(at) AS at, avg(gpu_gib) AS gpu_gib, avg(utilization) AS utilization,
          avg(temperature) AS temperature, avg(power) AS power, avg(tokens) AS tokens, avg(busy) AS busy,
          avg(waiting) AS waiting, servers
        FROM history WHERE box = ? AND at >= ? GROUP BY CAST(at / ? AS INTEGER) ORDER BY at`,
        box,
        now - spanMs,
        stepMs,
      )
      .toArray();
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
  return {
    box,
    stepS: stepMs / 1000,
    at: rows.map((row) => row.at),
    memoryUsedGib: rows.map((row) => row.gpu_gib),
    utilizationPercent: rows.map((row) => row.utilization),
    temperatureC: rows.map((row) => row.temperature),
    powerWatts: rows.map((row) => row.power),
    tokensPerSecond: rows.map((row) => row.tokens),
    busy: rows.map((row) => row.busy),
    waiting: rows.map((row) => row.waiting),
    serverGib: Object.fromEntries(ports.map((port) => [port, servers.map((one) => one[port] ?? null)])),
  };
}

/** Null where nobody knows; what some don't know is left out. */
function sumKnown(figures: readonly (number | null)[]): number | null {
  const known = figures.filter((figure) => figure !== null);
  return known.length === 0 ? null : known.reduce((sum, figure) => sum + figure, 0);
}
