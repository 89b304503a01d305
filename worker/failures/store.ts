// Stores the newest failures, so that `isha why` finds a request, and counts of those that came too fast to store.
// Old rows are deleted as new ones are written. Reads are cached: SQLite bills every row that it looks at.
//
// Tables: `failures` has a row for each stored failure, in order of `n`, with its facts as JSON; `floods` has a row for
// each hour, code, route and key (empty for none) with the time of the last failure and the number of failures that were
// only counted.
import { HOUR_MS } from "../../shared/calendar.ts";
import { ERRORS, faultOf } from "../../shared/errors.ts";
import {
  FAILURES_KEPT,
  FAILURES_KEPT_MS,
  type Failure,
  type FailureFacts,
  type FailureFlood,
} from "../../shared/failures.ts";
import type { FailureGroup } from "../../shared/fleet-view.ts";
import { ANY_ROUTE } from "./sampling.ts";

/** Rows of `floods`: enough for a day of more kinds than a deployment has. Further kinds are counted by code. */
const MAX_FLOODS = 2_000;

/** The error table has fewer. */
const MAX_CODES = 64;

/** Our own failures that stay listed however many of the callers' follow. */
const MAX_OURS = 50;

/** Groups are counted at most this often: that reads an hour of rows. */
const GROUPS_EVERY_MS = 15_000;

/** The codes whose fault is the caller's, as SQL. */
const CALLER_CODES = Object.keys(ERRORS)
  .filter((code) => faultOf(code) === "caller")
  .map((code) => `'${code}'`)
  .join(", ");

/** Longest text in a row, in characters: ids and routes are far shorter, a cause is a sentence. */
const MAX_CHARACTERS = 300;

interface FailureRow extends Record<string, SqlStorageValue> {
  request_id: string;
  at: number;
  code: string;
  route: string;
  key: string | null;
  cause: string | null;
  /** `FailureFacts` as JSON; null for none. */
  facts: string | null;
}

interface FloodRow extends Record<string, SqlStorageValue> {
  at: number;
  code: string;
  route: string;
  key: string;
  count: number;
}

export class FailureStore {
  readonly #sql: SqlStorage;
  /** The newest failures as stored; null until they are read. A console asks twice a second. */
  #newest: { readonly limit: number; readonly failures: readonly Failure[] } | null = null;
  /** The newest of them that are ours; null until they are read. */
  #newestOurs: readonly Failure[] | null = null;
  #groups: { readonly at: number; readonly groups: readonly FailureGroup[] } | null = null;
  /** Rows before `first` are older than `since`: a query from a later time can skip them. */
  #recent = { first: 0, since: 0 };

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(
      `CREATE TABLE IF NOT EXISTS failures
       (n INTEGER PRIMARY KEY, request_id TEXT UNIQUE, at INTEGER, code TEXT, route TEXT, key TEXT, cause TEXT, facts TEXT)`,
    );
    // A table of an earlier release.
    const columns = sql.exec<{ name: string }>("SELECT name FROM pragma_table_info('failures')").toArray();
    if (!columns.some(({ name }) => name === "facts")) sql.exec("ALTER TABLE failures ADD COLUMN facts TEXT");
    sql.exec(
      `CREATE TABLE IF NOT EXISTS floods
       (hour INTEGER, code TEXT, route TEXT, key TEXT, at INTEGER, count INTEGER, PRIMARY KEY (hour, code, route, key)) WITHOUT ROWID`,
    );
  }

  add(failures: readonly Failure[], floods: readonly FailureFlood[], now: number): void {
    this.#newest = null;
    if (failures.some(({ code }) => faultOf(code) !== "caller")) this.#newestOurs = null;
    for (const failure of failures) {
      const { requestId, at, code, route, key, cause } = failure;
      this.#sql.exec(
        `INSERT INTO failures (request_id, at, code, route, key, cause, facts) VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (request_id) DO UPDATE SET
           code = excluded.code, cause = excluded.cause, facts = coalesce(excluded.facts, facts)`,
        short(requestId),
        Math.min(at, now),
        short(code),
        short(route),
        key === null ? null : short(key),
        cause === null ? null : short(cause),
        factsText(failure),
      );
    }
    if (floods.length > 0) this.#count(floods, now);
    this.#deleteOld(now);
  }

  find(requestId: string, now: number): Failure | null {
    const [row] = this.#sql
      .exec<FailureRow>(
        "SELECT request_id, at, code, route, key, cause, facts FROM failures WHERE request_id = ? AND at > ?",
        requestId,
        now - FAILURES_KEPT_MS,
      )
      .toArray();
    return row === undefined ? null : failureOf(row);
  }

  /** The largest floods that are still stored. */
  floods(limit: number, now: number): FailureFlood[] {
    return this.#sql
      .exec<FloodRow>(
        `SELECT max(at) AS at, code, route, key, sum(count) AS count FROM floods WHERE at > ?
         GROUP BY code, route, key ORDER BY 5 DESC LIMIT ?`,
        now - FAILURES_KEPT_MS,
        limit,
      )
      .toArray()
      .map(({ at, code, route, key, count }) => ({ at, code, route, key: key === "" ? null : key, count }));
  }

  /** Newest first. */
  newest(limit: number, now: number): Failure[] {
    const oldest = now - FAILURES_KEPT_MS;
    if (this.#newest?.limit !== limit) {
      const rows = this.#sql.exec<FailureRow>(
        "SELECT request_id, at, code, route, key, cause, facts FROM failures WHERE at > ? ORDER BY n DESC LIMIT ?",
        oldest,
        limit,
      );
      this.#newest = { limit, failures: rows.toArray().map(failureOf) };
    }
    return this.#newest.failures.filter(({ at }) => at > oldest);
  }

  /** The newest failures that aren't the callers' fault, newest first. */
  newestOurs(now: number): Failure[] {
    const oldest = now - FAILURES_KEPT_MS;
    this.#newestOurs ??= this.#sql
      .exec<FailureRow>(
        `SELECT * FROM failures WHERE at > ? AND code NOT IN (${CALLER_CODES}) ORDER BY n DESC LIMIT ?`,
        oldest,
        MAX_OURS,
      )
      .toArray()
      .map(failureOf);
    return this.#newestOurs.filter(({ at }) => at > oldest);
  }

  /** Failures of the last hour by code and key, the most frequent first. */
  groups(now: number): readonly FailureGroup[] {
    if (this.#groups === null || Math.abs(now - this.#groups.at) >= GROUPS_EVERY_MS) {
      const since = now - HOUR_MS;
      const groups = this.#sql
        .exec<{ code: string; key: string; count: number; at: number }>(
          `SELECT code, key, sum(n) AS count, max(at) AS at FROM (
             SELECT code, coalesce(key, '') AS key, count(*) AS n, max(at) AS at FROM failures WHERE at > ?1 GROUP BY 1, 2
             UNION ALL SELECT code, key, sum(count), max(at) FROM floods WHERE hour > ?2 AND at > ?1 GROUP BY 1, 2
           ) GROUP BY code, key ORDER BY 3 DESC`,
          since,
          since - HOUR_MS,
        )
        .toArray()
        .map(({ code, key, count, at }) => ({ code, key: key === "" ? null : key, count, lastAt: at }));
      this.#groups = { at: now, groups };
    }
    return this.#groups.groups;
  }

  /** The number of failures of each code since a time, including the floods that were still going on then. */
  byCode(since: number): { readonly code: string; readonly count: number }[] {
    return this.#sql
      .exec<{ code: string; count: number }>(
        `SELECT code, sum(n) AS count FROM (
           SELECT code, count(*) AS n FROM failures WHERE n >= ?2 AND at > ?1 GROUP BY code
           UNION ALL SELECT code, sum(count) FROM floods WHERE hour > ?3 AND at > ?1 GROUP BY code
         ) GROUP BY code ORDER BY 2 DESC LIMIT ?4`,
        since,
        this.#firstAfter(since),
        since - HOUR_MS,
        MAX_CODES,
      )
      .toArray();
  }

  /** The number of the first row after a time. Numbers only grow, because the last row is never deleted. */
  #firstAfter(since: number): number {
    const from = since < this.#recent.since ? 0 : this.#recent.first;
    const { first } = this.#sql
      .exec<{ first: number }>(
        `SELECT coalesce((SELECT n FROM failures WHERE n >= ? AND at > ? ORDER BY n LIMIT 1),
           (SELECT max(n) + 1 FROM failures), 0) AS first`,
        from,
        since,
      )
      .one();
    this.#recent = { first, since };
    return first;
  }

  #count(floods: readonly FailureFlood[], now: number): void {
    // Counted once for all of them, because counting reads every row. Each adds at most one row.
    const rows = this.#sql.exec<{ n: number }>("SELECT count(*) AS n FROM floods").one().n;
    for (const [index, flood] of floods.entries()) {
      const at = Math.min(flood.at, now);
      const isFull = rows + index >= MAX_FLOODS;
      this.#sql.exec(
        `INSERT INTO floods VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET at = max(at, excluded.at), count = count + excluded.count`,
        at - (at % HOUR_MS),
        short(flood.code),
        isFull ? ANY_ROUTE : short(flood.route),
        isFull ? "" : short(flood.key ?? ""),
        at,
        flood.count,
      );
    }
  }

  #deleteOld(now: number): void {
    const oldest = now - FAILURES_KEPT_MS;
    this.#sql.exec(
      `DELETE FROM failures WHERE n <= (SELECT max(n) FROM failures) - ?
       OR n < (SELECT n FROM failures WHERE at > ? ORDER BY n LIMIT 1)`,
      FAILURES_KEPT,
      oldest,
    );
    this.#sql.exec("DELETE FROM floods WHERE hour < ?", oldest - HOUR_MS);
  }
}

function failureOf({ request_id, at, code, route, key, cause, facts }: FailureRow): Failure {
  const known = facts === null ? {} : (JSON.parse(facts) as FailureFacts);
  return { requestId: request_id, at, code, route, key, cause, agentType: null, ...known };
}

function factsText({ agentType, param, model, port, retryAfterS }: Failure): string | null {
  const facts: FailureFacts = {
    ...(agentType == null ? {} : { agentType: short(agentType) }),
    ...(param === undefined ? {} : { param: short(param) }),
    ...(model === undefined ? {} : { model: short(model) }),
    ...(port === undefined ? {} : { port }),
    ...(retryAfterS === undefined ? {} : { retryAfterS }),
  };
  return Object.keys(facts).length === 0 ? null : JSON.stringify(facts);
}

const short = (text: string): string => text.slice(0, MAX_CHARACTERS);
