// What the Fleet object remembers of its boxes beside their last words: their history, what happened, what should
// wake somebody. All of it in SQLite, since the object sleeps between frames.
import type { PortsByBox } from "../../../shared/fleet.ts";
import type { FleetAlarm, FleetEvent, FleetHistory } from "../../../shared/fleet-view.ts";
import type { Snapshot } from "../../../shared/wire.ts";
import {
  look,
  NO_ALARMS,
  raised,
  type AlarmNews,
  type AlarmState,
  type WatchedBox,
} from "../alarms/conditions.ts";
import { happened, type BoxHistory, type Told } from "./events.ts";
import { HistoryRows } from "./history.ts";

/** Events kept, and events told at once: a bad night's worth, and a screen's. */
const EVENTS_KEPT = 1_000;
const EVENTS_TOLD = 100;

/** Messages that couldn't be delivered and are tried again; past them the oldest goes, the log has all. */
const OUTBOX_MOST = 50;

/** Rows of `alarms`: the boxes and servers that the edge names, and which alarms there are. */
type Kept = "expected" | "ports" | "state";

interface EventRow extends Record<string, SqlStorageValue> {
  id: number;
  at: number;
  box: string | null;
  port: number | null;
  level: string;
  text: string;
}

export class FleetWatch {
  readonly #sql: SqlStorage;
  readonly #history: HistoryRows;
  /** As stored, by box. */
  readonly #courses = new Map<string, BoxHistory>();
  /** As stored, by name: a console asks twice a second, and every row read is billed. */
  readonly #kept = new Map<Kept, string | null>();
  /** The newest, as stored; null until read. */
  #events: readonly FleetEvent[] | null = null;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    this.#history = new HistoryRows(sql);
    sql.exec(
      `CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, box TEXT,
        port INTEGER, level TEXT NOT NULL, text TEXT NOT NULL)`,
    );
    sql.exec("CREATE TABLE IF NOT EXISTS courses (box TEXT PRIMARY KEY, course TEXT NOT NULL) WITHOUT ROWID");
    sql.exec("CREATE TABLE IF NOT EXISTS alarms (name TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID");
    sql.exec("CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, news TEXT NOT NULL)");
    for (const { box, course } of sql.exec<{ box: string; course: string }>("SELECT * FROM courses"))
      this.#courses.set(box, JSON.parse(course) as BoxHistory);
  }

  /** The edge's fleet file names these boxes. @param ports with these servers; null where the edge doesn't say */
  expect(boxes: readonly string[], ports: PortsByBox | null = null): void {
    if (JSON.stringify(boxes) !== JSON.stringify(this.expected())) this.#keep("expected", boxes);
    if (ports !== null && JSON.stringify(ports) !== JSON.stringify(this.ports())) this.#keep("ports", ports);
  }

  expected(): readonly string[] {
    return (this.#read("expected") as string[] | null) ?? [...this.#courses.keys()];
  }

  ports(): PortsByBox {
    return (this.#read("ports") as PortsByBox | null) ?? {};
  }

  /** A box spoke. */
  said(box: string, snapshot: Snapshot, now: number): void {
    this.#history.note(box, snapshot, now);
    const before = this.#courses.get(box) ?? null;
    const { course, told } = happened(
      before,
      { draining: snapshot.draining, journal: snapshot.journal.state, servers: snapshot.servers },
      now,
    );
    for (const one of told) this.note(box, one, now);
    const text = JSON.stringify(course);
    if (before !== null && text === JSON.stringify(before)) return;
    this.#courses.set(box, course);
    this.#sql.exec("INSERT OR REPLACE INTO courses VALUES (?, ?)", box, text);
  }

  note(box: string | null, { port, level, text }: Told, now: number): void {
    this.#sql.exec(
      "INSERT INTO events (at, box, port, level, text) VALUES (?, ?, ?, ?, ?)",
      now,
      box,
      port,
      level,
      text,
    );
    this.#events = null;
    this.#sql.exec("DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?", EVENTS_KEPT);
  }

  /** The newest first. */
  events(): readonly FleetEvent[] {
    this.#events ??= this.#sql
      .exec<EventRow>("SELECT * FROM events ORDER BY id DESC LIMIT ?", EVENTS_TOLD)
      .toArray()
      .map((row) => ({ ...row, level: row.level as FleetEvent["level"] }));
    return this.#events;
  }

  history(box: string, minutes: number, now: number): FleetHistory {
    return this.#history.read(box, minutes, now);
  }

  /** Since when each server is as it is, by box and port. */
  since(): Record<string, Record<string, number>> {
    return Object.fromEntries(
      [...this.#courses].map(([box, { servers }]) => [
        box,
        Object.fromEntries(Object.entries(servers).map(([port, { since }]) => [port, since])),
      ]),
    );
  }

  /** One look at what should wake somebody; what is new waits in the outbox until it is delivered. */
  look(boxes: readonly WatchedBox[], now: number): void {
    const before = this.#alarms();
    const { state, news } = look(before, boxes, now);
    // A fleet that is well costs no write.
    if (JSON.stringify(state) !== JSON.stringify(before)) this.#keep("state", state);
    for (const one of news) {
      this.#sql.exec("INSERT INTO outbox (news) VALUES (?)", JSON.stringify(one));
      const level = one.state === "raised" ? "bad" : "good";
      const text = one.state === "raised" ? `alarm: ${one.text}` : `over: ${one.text}`;
      this.note(null, { port: null, level, text }, now);
    }
    this.#sql.exec("DELETE FROM outbox WHERE id <= (SELECT max(id) FROM outbox) - ?", OUTBOX_MOST);
  }

  /** The oldest first. */
  outbox(): { readonly id: number; readonly news: AlarmNews }[] {
    return this.#sql
      .exec<{ id: number; news: string }>("SELECT id, news FROM outbox ORDER BY id")
      .toArray()
      .map(({ id, news }) => ({ id, news: JSON.parse(news) as AlarmNews }));
  }

  delivered(id: number): void {
    this.#sql.exec("DELETE FROM outbox WHERE id = ?", id);
  }

  alarms(): FleetAlarm[] {
    return raised(this.#alarms()).map(({ id, since, text, advice }) => ({ id, since, text, advice }));
  }

  #alarms(): AlarmState {
    return (this.#read("state") as AlarmState | null) ?? NO_ALARMS;
  }

  #keep(name: Kept, value: unknown): void {
    const text = JSON.stringify(value);
    this.#sql.exec("INSERT OR REPLACE INTO alarms VALUES (?, ?)", name, text);
    this.#kept.set(name, text);
  }

  #read(name: Kept): unknown {
    let text = this.#kept.get(name);
    if (text === undefined) {
      const rows = this.#sql
        .exec<{ state: string }>("SELECT state FROM alarms WHERE name = ?", name)
        .toArray();
      text = rows[0]?.state ?? null;
      this.#kept.set(name, text);
    }
    return text === null ? null : JSON.parse(text);
  }
}
