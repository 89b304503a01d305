// What the fleet object remembers of its boxes, in real SQLite: events in order and bounded, alarms and their
// messages over a restart, and nothing written where nothing changed.
import { env } from "cloudflare:workers";
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import type { Snapshot } from "../../../../shared/wire.ts";
import type { WatchedBox } from "../../../../worker/fleet/alarms/conditions.ts";
import { BoxWatch } from "../../../../worker/fleet/object/box-watch.ts";
import { linkServer, readSnapshot } from "../../support/agents.ts";

const START = 1_800_000_000_000;

/** Runs with the storage of an object of its own. */
async function withSql(work: (sql: SqlStorage) => void): Promise<void> {
  const stub = env.FLEET.getByName(`watch ${crypto.randomUUID()}`);
  await runInDurableObject(stub, (_object, state) => work(state.storage.sql));
}

function said(
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
  servers: [],
  temperatureC: null,
  usageBehindMs: null,
  journal: "ok",
  calls: 0,
  failed: 0,
  ...more,
});

const written = (sql: SqlStorage): number => sql.exec<{ n: number }>("SELECT total_changes() AS n").one().n;

describe("what happened", () => {
  it("is told the newest first, with numbers that grow, and since when each server is as it is", async () => {
    await withSql((sql) => {
      const watch = new BoxWatch(sql);
      watch.said("north", said(), START);
      watch.said("north", said({ state: "down", why: "nothing listens" }), START + 1_000);
      watch.said("north", said({ restarts: 1 }), START + 7_100);
      const events = watch.events();
      expect(events.map(({ box, port, level, text, at }) => [box, port, level, text, at])).toEqual([
        ["north", 9000, "good", "9000 was restarted by PM2, back after 6.1 s", START + 7_100],
        ["north", 9000, "bad", "9000 is down: nothing listens", START + 1_000],
      ]);
      expect(events[0]?.id).toBeGreaterThan(events[1]?.id ?? 0);
      expect(watch.since()).toEqual({ north: { 9000: START + 7_100 } });
    });
  });

  it("goes on after the object's restart where it was", async () => {
    await withSql((sql) => {
      const before = new BoxWatch(sql);
      before.said("north", said(), START);
      before.said("north", said({ state: "down" }), START + 1_000);
      const after = new BoxWatch(sql);
      after.said("north", said({ state: "down" }), START + 2_000);
      expect(after.events()).toEqual(before.events());
      expect(after.events()).toHaveLength(1);
      after.said("north", said(), START + 61_000);
      expect(after.events()[0]?.text).toBe("9000 is up again after 1 min 0 s");
    });
  });

  it("is bounded: the newest hundred are told, the newest thousand kept", async () => {
    await withSql((sql) => {
      const watch = new BoxWatch(sql);
      for (let at = 0; at < 1_200; at += 1)
        watch.note("north", { port: null, level: "info", text: `event ${at}` }, START + at);
      expect(watch.events().map(({ text }) => text)).toEqual(
        Array.from({ length: 100 }, (_, at) => `event ${1_199 - at}`),
      );
      expect(sql.exec<{ n: number }>("SELECT count(*) AS n FROM events").one().n).toBe(1_000);
    });
  });

  it("costs no write where a box says the same again", async () => {
    await withSql((sql) => {
      const watch = new BoxWatch(sql);
      watch.said("north", said(), START);
      const before = written(sql);
      watch.said("north", said({ tokensPerSecond: 7, busy: 2 }), START + 1_000);
      watch.look([], START);
      expect(written(sql)).toBeLessThanOrEqual(before + 1);
      const looked = written(sql);
      for (let at = 1; at < 10; at += 1) watch.look([], START + at * 15_000);
      expect(written(sql)).toBe(looked);
    });
  });
});

describe("the boxes that are expected", () => {
  it("are those the edge named last, also after a restart; before that, those that ever spoke", async () => {
    await withSql((sql) => {
      const watch = new BoxWatch(sql);
      expect(watch.expected()).toEqual([]);
      watch.said("north", said(), START);
      expect(watch.expected()).toEqual(["north"]);
      watch.expect(["north", "south"]);
      watch.expect(["south", "east"]);
      expect(new BoxWatch(sql).expected()).toEqual(["south", "east"]);
    });
  });

  it("have the servers the edge named last; an edge that doesn't say changes nothing, nor does one that says the same", async () => {
    await withSql((sql) => {
      const watch = new BoxWatch(sql);
      expect(watch.ports()).toEqual({});
      watch.expect(["north"], { north: [9000, 9001] });
      watch.expect(["north"], { north: [9000] });
      const before = written(sql);
      watch.expect(["north"]);
      watch.expect(["north"], { north: [9000] });
      expect(written(sql)).toBe(before);
      expect(new BoxWatch(sql).ports()).toEqual({ north: [9000] });
    });
  });
});

describe("an alarm", () => {
  it("is a message in the outbox and an event, stands while it holds, and is told nobody twice over a restart", async () => {
    await withSql((sql) => {
      const watch = new BoxWatch(sql);
      watch.look([boxOf("north")], START);
      watch.look([boxOf("north")], START + 60_000);
      const after = new BoxWatch(sql);
      after.look([boxOf("north")], START + 60_000);
      after.look([boxOf("north")], START + 75_000);
      const [message, ...others] = after.outbox();
      expect(message?.news).toMatchObject({ id: "box-silent:north", state: "raised", since: START });
      expect(others).toEqual([]);
      expect(after.alarms()).toMatchObject([
        { id: "box-silent:north", since: START, text: "north has never reported in." },
      ]);
      expect(after.events()).toMatchObject([{ level: "bad", text: "alarm: north has never reported in." }]);
    });
  });

  it("that is over leaves the list and is told as an event; a box that the fleet has no more takes its alarms along", async () => {
    await withSql((sql) => {
      const watch = new BoxWatch(sql);
      for (const at of [0, 60_000]) watch.look([boxOf("north")], START + at);
      watch.look([], START + 75_000);
      expect(watch.alarms()).toEqual([]);
      watch.look([], START + 90_000);
      expect(watch.outbox().map(({ news }) => news.state)).toEqual(["raised", "recovered"]);
      expect(watch.events()[0]).toMatchObject({ level: "good", text: "over: north has never reported in." });
    });
  });

  it("waits in the outbox in order until it is delivered, the newest fifty of them", async () => {
    await withSql((sql) => {
      const watch = new BoxWatch(sql);
      const boxes = Array.from({ length: 60 }, (_, at) => boxOf(`box-${at}`));
      watch.look(boxes, START);
      watch.look(boxes, START + 60_000);
      const names = (): string[] => watch.outbox().map(({ news }) => news.id);
      expect(names()).toEqual(Array.from({ length: 50 }, (_, at) => `box-silent:box-${at + 10}`));
      const [first] = watch.outbox();
      watch.delivered(first?.id ?? 0);
      watch.delivered(first?.id ?? 0);
      expect(names()).toHaveLength(49);
      expect(names()[0]).toBe("box-silent:box-11");
    });
  });
});
