// Remembers what happened to the boxes: their history, events, and alarms. Everything is in SQLite, because the Fleet
// object hibernates between frames; what a console reads twice a second is cached, because SQLite bills every row read.
//
// Tables: `events` has the newest events; `statuses` has each box's last status as JSON (`BoxHistory`); `alarms` has
// the expected boxes, their ports and PM2 names, and the alarm state as JSON, by name; `outbox` has the alarm messages that are still
// to be delivered.
import type { PortsByBox, ProcessesByBox } from "../../../shared/fleet.ts";
import type { FleetAlarm, FleetEvent, FleetHistory } from "../../../shared/fleet-view.ts";
import type { Snapshot } from "../../../shared/wire.ts";
import {
  evaluate,
  NO_ALARMS,
  raisedAlarms,
  subjectOf,
  type AlarmMessage,
  type AlarmState,
  type WatchedBox,
} from "../alarms/conditions.ts";
import { detectEvents, type BoxHistory, type NewEvent } from "./events.ts";
import { HistoryStore } from "./history.ts";

/** Events that are stored, and events that are shown: a bad night's worth, and a screen's. */
const EVENTS_KEPT = 1_000;
const EVENTS_SHOWN = 100;

/** Undelivered messages that are retried; beyond them the oldest is deleted. The events have them all. */
const MAX_OUTBOX = 50;

/** Names of the rows in `alarms`. */
type StoredName = "expected" | "ports" | "processes" | "state";

interface EventRow extends Record<string, SqlStorageValue> {
  id: number;
  at: number;
  box: string | null;
  port: number | null;
  level: string;
  text: string;
}

export class BoxWatch {
  readonly #sql: SqlStorage;
  readonly #history: HistoryStore;
  /** As stored, by box. */
  readonly #histories = new Map<string, BoxHistory>();
  /** As stored, by name. */
  readonly #stored = new Map<StoredName, string | null>();
  /** The newest, as stored; null until they are read. */
  #events: readonly FleetEvent[] | null = null;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    this.#history = new HistoryStore(sql);
    sql.exec(
      `CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, box TEXT,
        port INTEGER, level TEXT NOT NULL, text TEXT NOT NULL)`,
    );
    sql.exec(
      "CREATE TABLE IF NOT EXISTS statuses (box TEXT PRIMARY KEY, status TEXT NOT NULL) WITHOUT ROWID",
    );
    sql.exec("CREATE TABLE IF NOT EXISTS alarms (name TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID");
    sql.exec(
      "CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, message TEXT NOT NULL)",
    );
    for (const { box, status } of sql.exec<{ box: string; status: string }>("SELECT * FROM statuses"))
      this.#histories.set(box, JSON.parse(status) as BoxHistory);
  }

  /**
   * Sets the boxes of the edge's fleet file.
   * @param ports their servers
   * @param processes PM2's names of these; unchanged if an edge of an earlier release sends none
   */
  expect(boxes: readonly string[], ports: PortsByBox, processes: ProcessesByBox = this.processes()): void {
    if (JSON.stringify(boxes) !== JSON.stringify(this.expected())) this.#store("expected", boxes);
    if (JSON.stringify(ports) !== JSON.stringify(this.ports())) this.#store("ports", ports);
    if (JSON.stringify(processes) !== JSON.stringify(this.processes())) this.#store("processes", processes);
  }

  expected(): readonly string[] {
    return (this.#read("expected") as string[] | null) ?? [...this.#histories.keys()];
  }

  ports(): PortsByBox {
    return (this.#read("ports") as PortsByBox | null) ?? {};
  }

  processes(): ProcessesByBox {
    return (this.#read("processes") as ProcessesByBox | null) ?? {};
  }

  /** Records a snapshot that describes the box. @param models what its agent announced, by port */
  record(box: string, snapshot: Snapshot, models: ReadonlyMap<number, string>, now: number): void {
    this.#history.add(box, snapshot, now);
    const before = this.#histories.get(box) ?? null;
    const { draining, journal, servers } = snapshot;
    const { history, events } = detectEvents(
      before,
      { box, draining, journal: journal.state, servers, models },
      now,
    );
    for (const event of events) this.addEvent(box, event, now);
    const text = JSON.stringify(history);
    if (before !== null && text === JSON.stringify(before)) return;
    this.#histories.set(box, history);
    this.#sql.exec("INSERT OR REPLACE INTO statuses VALUES (?, ?)", box, text);
  }

  addEvent(box: string | null, { port, level, text }: NewEvent, now: number): void {
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

  /** Newest first. */
  events(): readonly FleetEvent[] {
    this.#events ??= this.#sql
      .exec<EventRow>("SELECT * FROM events ORDER BY id DESC LIMIT ?", EVENTS_SHOWN)
      .toArray()
      .map((row) => ({ ...row, level: row.level as FleetEvent["level"] }));
    return this.#events;
  }

  history(box: string, minutes: number, now: number): FleetHistory {
    return this.#history.read(box, minutes, now);
  }

  /** When each server entered its state, by box and port. */
  since(): Record<string, Record<string, number>> {
    return Object.fromEntries(
      [...this.#histories].map(([box, { servers }]) => [
        box,
        Object.fromEntries(Object.entries(servers).map(([port, { since }]) => [port, since])),
      ]),
    );
  }

  /**
   * Evaluates the alarm conditions; new messages stay in the outbox until they are delivered.
   * @param failedRequest for the advice: the newest request that failed by our fault
   */
  evaluate(boxes: readonly WatchedBox[], now: number, failedRequest: string | null = null): void {
    const before = this.#alarms();
    const names = { processes: this.processes(), failedRequest };
    const { state, messages } = evaluate(before, boxes, now, names);
    // A healthy fleet costs no write.
    if (JSON.stringify(state) !== JSON.stringify(before)) this.#store("state", state);
    for (const message of messages) {
      this.#sql.exec("INSERT INTO outbox (message) VALUES (?)", JSON.stringify(message));
      const isRaised = message.state === "raised";
      const text = `${isRaised ? "alarm" : "recovered"}: ${message.text}`;
      const { box, port } = subjectOf(message.id);
      this.addEvent(box, { port, level: isRaised ? "bad" : "good", text }, now);
    }
    this.#sql.exec("DELETE FROM outbox WHERE id <= (SELECT max(id) FROM outbox) - ?", MAX_OUTBOX);
  }

  /** Oldest first. */
  outbox(): { readonly id: number; readonly message: AlarmMessage }[] {
    return this.#sql
      .exec<{ id: number; message: string }>("SELECT id, message FROM outbox ORDER BY id")
      .toArray()
      .map(({ id, message }) => ({ id, message: JSON.parse(message) as AlarmMessage }));
  }

  markDelivered(id: number): void {
    this.#sql.exec("DELETE FROM outbox WHERE id = ?", id);
  }

  /** @param failedRequest for the advice: the newest request that failed by our fault */
  alarms(failedRequest: string | null = null): FleetAlarm[] {
    const names = { processes: this.processes(), failedRequest };
    return raisedAlarms(this.#alarms(), names).map(({ id, since, text, advice }) => ({
      id,
      since,
      text,
      advice,
    }));
  }

  #alarms(): AlarmState {
    return (this.#read("state") as AlarmState | null) ?? NO_ALARMS;
  }

  #store(name: StoredName, value: unknown): void {
    const text = JSON.stringify(value);
    this.#sql.exec("INSERT OR REPLACE INTO alarms VALUES (?, ?)", name, text);
    this.#stored.set(name, text);
  }

  #read(name: StoredName): unknown {
    let text = this.#stored.get(name);
    if (text === undefined) {
      const rows = this.#sql
        .exec<{ state: string }>("SELECT state FROM alarms WHERE name = ?", name)
        .toArray();
      text = rows[0]?.state ?? null;
      this.#stored.set(name, text);
    }
    return text === null ? null : JSON.parse(text);
  }
}
