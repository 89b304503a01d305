import { describe, expect, it } from "vitest";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { DAY_MS, HOUR_MS, monthStart } from "../../../shared/calendar.ts";
import { cover, widened } from "../../../worker/usage/time-ranges.ts";

const at = (text: string): number => Date.parse(text);

describe("a time range", () => {
  it.each(SEEDS)("is covered without gaps or overlaps (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    for (let round = 0; round < 200; round += 1) {
      const from = at("2025-01-01") + random.below(20_000) * HOUR_MS;
      const to = from + (1 + random.below(3_000)) * HOUR_MS;
      for (const largest of ["h", "d", "m"] as const) {
        const parts = cover(from, to, largest).toSorted((a, b) => a.from - b.from);
        expect(parts[0]?.from).toBe(from);
        expect(parts.at(-1)?.to).toBe(to);
        for (const [index, part] of parts.entries()) {
          expect(part.from).toBeLessThan(part.to);
          if (index > 0) expect(part.from).toBe(parts[index - 1]?.to);
          if (part.granularity === "d") expect([part.from % DAY_MS, part.to % DAY_MS]).toEqual([0, 0]);
          if (part.granularity === "m")
            expect([monthStart(part.from), monthStart(part.to)]).toEqual([part.from, part.to]);
        }
      }
    }
  });

  it("is covered by months in the middle, then days, then hours at the ends", () => {
    expect(cover(at("2026-01-30T22:00Z"), at("2026-04-02T03:00Z"), "m")).toEqual([
      { granularity: "h", from: at("2026-01-30T22:00Z"), to: at("2026-01-31") },
      { granularity: "d", from: at("2026-01-31"), to: at("2026-02-01") },
      { granularity: "m", from: at("2026-02-01"), to: at("2026-04-01") },
      { granularity: "d", from: at("2026-04-01"), to: at("2026-04-02") },
      { granularity: "h", from: at("2026-04-02"), to: at("2026-04-02T03:00Z") },
    ]);
  });

  it("is covered by hours only if it lies within a day", () => {
    expect(cover(at("2026-01-30T01:00Z"), at("2026-01-30T03:00Z"), "m")).toEqual([
      { granularity: "h", from: at("2026-01-30T01:00Z"), to: at("2026-01-30T03:00Z") },
    ]);
  });

  it("is widened to whole hours, or to whole days if its hours are no longer stored", () => {
    const now = at("2026-11-23T12:00Z");
    expect(widened(at("2026-11-23T10:20Z"), at("2026-11-23T11:01Z"), now)).toEqual({
      from: at("2026-11-23T10:00Z"),
      to: at("2026-11-23T12:00Z"),
    });
    expect(widened(at("2026-01-05T10:20Z"), at("2026-01-07T11:00Z"), now)).toEqual({
      from: at("2026-01-05"),
      to: at("2026-01-08"),
    });
  });
});
