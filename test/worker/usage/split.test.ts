// Usage by day and hour, split again by key, model or agent type: the real ledger.
import { runDurableObjectAlarm } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { DAY_MS, HOUR_MS } from "../../../shared/calendar.ts";
import { MAX_SPLIT_NAMES, USAGE_SPLITS, type UsageReport } from "../../../shared/usage-report.ts";
import { NOTHING, plus } from "../../../worker/usage/booking.ts";
import { stopClock } from "../support/edge.ts";
import { call, newLedger, report } from "../support/usage.ts";

/** Far ahead of the real clock, which triggers the platform's alarms: here only the test triggers them. */
const NOON = Date.parse("2096-11-23T12:20:00Z");

const cells = ({ rows }: UsageReport): unknown[] =>
  rows.map(({ group, split, calls }) => [group, split, calls]);

describe("a split report", () => {
  it("has the largest names first for each day, before and after rolling up", async () => {
    stopClock(NOON);
    const ledger = newLedger();
    const other = { keyId: "key-b", model: "Model-2", agentType: "Beta", completionTokens: 500 };
    await ledger.apply("north", "epoch-1", 0, [
      call(1),
      call(2),
      call(3, other),
      call(4, { startedAt: NOON - DAY_MS }),
    ]);
    const expected = {
      key: ["key-b", "key-a"],
      model: ["Model-2", "Model-1"],
      agent: ["Beta", "Alpha"],
    };
    const check = async (): Promise<void> => {
      for (const split of USAGE_SPLITS) {
        const [large, small] = expected[split];
        expect(cells(await report(ledger, "day", { split }))).toEqual([
          ["2096-11-22", small, 1],
          ["2096-11-23", large, 1],
          ["2096-11-23", small, 2],
        ]);
        expect(cells(await report(ledger, "hour", { split, key: "key-b" }))).toEqual([
          ["2096-11-23T12:00Z", large, 1],
        ]);
      }
    };
    await check();
    await runDurableObjectAlarm(ledger);
    await check();
    // Later calls are added to the rolled-up sums.
    await ledger.apply("north", "epoch-1", 4, [call(5, { model: "Model-2" })]);
    expect(cells(await report(ledger, "day", { split: "model" })).slice(1)).toEqual([
      ["2096-11-23", "Model-2", 2],
      ["2096-11-23", "Model-1", 2],
    ]);
  });

  it.each(USAGE_SPLITS)("sums up the names beyond the largest eight: by %s", async (split) => {
    stopClock(NOON);
    const ledger = newLedger();
    const names = Array.from({ length: MAX_SPLIT_NAMES + 3 }, (_, n) => `name-${n}`);
    await ledger.apply(
      "north",
      "epoch-1",
      0,
      names.map((name, n) =>
        call(n + 1, { keyId: name, model: name, agentType: name, promptTokens: 1000 - n }),
      ),
    );
    for (const step of ["recent", "rolled up"]) {
      const hours = await report(ledger, "hour", { split });
      expect(
        hours.rows.map((row) => row.split),
        step,
      ).toEqual([...names.slice(0, MAX_SPLIT_NAMES), null]);
      expect(hours.rows.at(-1)).toMatchObject({ calls: 3, promptTokens: 992 + 991 + 990 });
      expect(hours.rows.reduce(plus, NOTHING)).toEqual(hours.total);
      await runDurableObjectAlarm(ledger);
    }
  });

  it("adds up to the same report without a split, also for a range that starts within a day", async () => {
    stopClock(NOON);
    const ledger = newLedger();
    const calls = Array.from({ length: 60 }, (_, n) =>
      call(n + 1, {
        keyId: `key-${n % 12}`,
        model: `Model-${n % 3}`,
        agentType: `Agent-${n % 5}`,
        startedAt: NOON - n * HOUR_MS,
      }),
    );
    await ledger.apply("north", "epoch-1", 0, calls.slice(0, 40));
    await runDurableObjectAlarm(ledger);
    await ledger.apply("north", "epoch-1", 40, calls.slice(40));
    const range = { from: NOON - 47 * HOUR_MS, to: NOON - 3 * HOUR_MS };
    for (const by of ["day", "hour"] as const)
      for (const key of [undefined, "key-7"])
        for (const split of USAGE_SPLITS) {
          const more = { ...range, ...(key === undefined ? {} : { key }) };
          const whole = await report(ledger, by, more);
          const divided = await report(ledger, by, { ...more, split });
          expect(divided.total).toEqual(whole.total);
          const sums = Map.groupBy(divided.rows, ({ group }) => group);
          expect([...sums].map(([group, rows]) => ({ group, ...rows.reduce(plus, NOTHING) }))).toEqual(
            whole.rows,
          );
        }
  });

  it("is empty without calls", async () => {
    expect((await report(newLedger(), "day", { split: "key" })).rows).toEqual([]);
  });
});
