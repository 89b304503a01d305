// The fleet object's stored data about its boxes, in real SQLite: events in order and bounded, alarms and their
// messages across a restart, and no write without a change.
import { env } from "cloudflare:workers";
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import type { Snapshot } from "../../../../shared/wire.ts";
import type { WatchedBox } from "../../../../worker/fleet/alarms/conditions.ts";
import { BoxWatch } from "../../../../worker/fleet/object/box-watch.ts";
import { linkServer, readSnapshot } from "../../support/agents.ts";

const START = 1_800_000_000_000;

const MODELS = new Map([[9000, "Model-9000"]]);

/** Runs with the storage of a separate object. */
async function withSql(work: (sql: SqlStorage) => void): Promise<void> {
  const stub = env.FLEET.getByName(`watch ${crypto.randomUUID()}`);
  await runInDurableObject(stub, (_object, state) => work(state.storage.sql));
}

function snapshotOf(
  server: Readonly<Record<string, unknown>> = {},
  box: Readonly<Record<string, unknown>> = {},
): Snapshot {
  return readSnapshot(1, { servers: [linkServer(9000, server)], ...box });
}

const boxOf = (name: string, more: Partial<WatchedBox> = {}): WatchedBox => ({
  name,
  lastSeenAt: null,
  reporting: false,
  draining: false,
  drainedAt: null,
  servers: [],
  temperatureC: null,
  usageBehindMs: null,
  journal: "ok",
  calls: 0,
  failed: 0,
  ...more,
});

const written = (sql: SqlStorage): number => sql.exec<{ n: number }>("SELECT total_changes() AS n").one().n;

describe("events", () => {
  it("come newest first, with ascending ids, and with the time of each server's last change", async () => {
    await withSql((sql) => {
      const watch = new BoxWatch(sql);
      watch.record("north", snapshotOf(), MODELS, START);
      watch.record("north", snapshotOf({ state: "down", why: "nothing listens" }), MODELS, START + 1_000);
      watch.record("north", snapshotOf({ restarts: 1 }), MODELS, START + 7_100);
      const events = watch.events();
      expect(events.map(({ box, port, level, text, at }) => [box, port, level, text, at])).toEqual([
        [
          "north",
          9000,
          "good",
          "9000 (Model-9000) on north was restarted by PM2, back after 6.1 s",
          START + 7_100,
        ],
        ["north", 9000, "bad", "9000 (Model-9000) on north is down: nothing listens", START + 1_000],
      ]);
      expect(events[0]?.id).toBeGreaterThan(events[1]?.id ?? 0);
      expect(watch.since()).toEqual({ north: { 9000: START + 7_100 } });
    });
  });

  it("continue after a restart of the object", async () => {
    await withSql((sql) => {
      const before = new BoxWatch(sql);
      before.record("north", snapshotOf(), MODELS, START);
      before.record("north", snapshotOf({ state: "down" }), MODELS, START + 1_000);
      const after = new BoxWatch(sql);
      after.record("north", snapshotOf({ state: "down" }), MODELS, START + 2_000);
      expect(after.events()).toEqual(before.events());
      expect(after.events()).toHaveLength(1);
      after.record("north", snapshotOf(), MODELS, START + 61_000);
      expect(after.events()[0]?.text).toBe("9000 (Model-9000) on north is up again after 1 min");
    });
  });

  it("are bounded: the newest hundred are returned, the newest thousand stored", async () => {
    await withSql((sql) => {
      const watch = new BoxWatch(sql);
      for (let at = 0; at < 1_200; at += 1)
        watch.addEvent("north", { port: null, level: "info", text: `event ${at}` }, START + at);
      expect(watch.events().map(({ text }) => text)).toEqual(
        Array.from({ length: 100 }, (_, at) => `event ${1_199 - at}`),
      );
      expect(sql.exec<{ n: number }>("SELECT count(*) AS n FROM events").one().n).toBe(1_000);
    });
  });

  it("cost no write if a box reports the same status again", async () => {
    await withSql((sql) => {
      const watch = new BoxWatch(sql);
      watch.record("north", snapshotOf(), MODELS, START);
      const before = written(sql);
      watch.record("north", snapshotOf({ tokensPerSecond: 7, busy: 2 }), MODELS, START + 1_000);
      watch.evaluate([], START);
      expect(written(sql)).toBeLessThanOrEqual(before + 1);
      const evaluated = written(sql);
      for (let at = 1; at < 10; at += 1) watch.evaluate([], START + at * 15_000);
      expect(written(sql)).toBe(evaluated);
    });
  });
});

describe("the expected boxes", () => {
  it("are those the edge sent last, also after a restart; before that, those that have ever reported", async () => {
    await withSql((sql) => {
      const watch = new BoxWatch(sql);
      expect(watch.expected()).toEqual([]);
      watch.record("north", snapshotOf(), MODELS, START);
      expect(watch.expected()).toEqual(["north"]);
      watch.expect(["north", "south"], {});
      watch.expect(["south", "east"], {});
      expect(new BoxWatch(sql).expected()).toEqual(["south", "east"]);
    });
  });

  it("have the ports the edge sent last; the same again changes nothing", async () => {
    await withSql((sql) => {
      const watch = new BoxWatch(sql);
      expect(watch.ports()).toEqual({});
      watch.expect(["north"], { north: [9000, 9001] });
      watch.expect(["north"], { north: [9000] });
      const before = written(sql);
      watch.expect(["north"], { north: [9000] });
      expect(written(sql)).toBe(before);
      expect(new BoxWatch(sql).ports()).toEqual({ north: [9000] });
    });
  });
});

describe("an alarm", () => {
  it("creates one message and one event, is listed while it holds, and isn't repeated after a restart", async () => {
    await withSql((sql) => {
      const watch = new BoxWatch(sql);
      watch.evaluate([boxOf("north")], START);
      watch.evaluate([boxOf("north")], START + 60_000);
      const after = new BoxWatch(sql);
      after.evaluate([boxOf("north")], START + 60_000);
      after.evaluate([boxOf("north")], START + 75_000);
      const [message, ...others] = after.outbox();
      expect(message?.message).toMatchObject({ id: "box-silent:north", state: "raised", since: START });
      expect(others).toEqual([]);
      expect(after.alarms()).toMatchObject([
        { id: "box-silent:north", since: START, text: "north has never reported." },
      ]);
      expect(after.events()).toMatchObject([{ level: "bad", text: "alarm: north has never reported." }]);
    });
  });

  it("that has recovered leaves the list and creates an event; the alarms of a box that left the fleet recover", async () => {
    await withSql((sql) => {
      const watch = new BoxWatch(sql);
      for (const at of [0, 60_000]) watch.evaluate([boxOf("north")], START + at);
      watch.evaluate([], START + 75_000);
      expect(watch.alarms()).toEqual([]);
      watch.evaluate([], START + 90_000);
      expect(watch.outbox().map(({ message }) => message.state)).toEqual(["raised", "recovered"]);
      expect(watch.events()[0]).toMatchObject({
        level: "good",
        text: "recovered: north has never reported.",
      });
    });
  });

  it("stays in the outbox in order until it is delivered, for the newest fifty", async () => {
    await withSql((sql) => {
      const watch = new BoxWatch(sql);
      const boxes = Array.from({ length: 60 }, (_, at) => boxOf(`box-${at}`));
      watch.evaluate(boxes, START);
      watch.evaluate(boxes, START + 60_000);
      const names = (): string[] => watch.outbox().map(({ message }) => message.id);
      expect(names()).toEqual(Array.from({ length: 50 }, (_, at) => `box-silent:box-${at + 10}`));
      const [first] = watch.outbox();
      watch.markDelivered(first?.id ?? 0);
      watch.markDelivered(first?.id ?? 0);
      expect(names()).toHaveLength(49);
      expect(names()[0]).toBe("box-silent:box-11");
    });
  });
});
