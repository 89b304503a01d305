import { describe, expect, it } from "vitest";
import {
  parseCount,
  parseLimit,
  parseTime,
  parseTimeOrNone,
  parseMonth,
  parseNames,
  parseNamesOrAll,
  parseRequestId,
  parseDuration,
} from "../../../cli/options/values.ts";

describe("a number", () => {
  it.each([
    ["1", 1],
    ["250", 250],
    ["5k", 5_000],
    ["5K", 5_000],
    ["1.5M", 1_500_000],
    ["0.5k", 500],
    ["2g", 2_000_000_000],
    ["5_000_000", 5_000_000],
    ["1.50k", 1_500],
    [" 7 ", 7],
    // In floating point this would be 2_299_999.9999999995.
    ["2.3M", 2_300_000],
  ])("%s is parsed exactly", (text, value) => {
    expect(parseCount(text)).toEqual({ ok: true, value });
  });

  it.each([
    "",
    "0",
    "0k",
    "-1",
    "1.5",
    "1.0001k",
    "1,000",
    "5 M",
    "5MB",
    "1e3",
    "0x10",
    "Infinity",
    "NaN",
    "1__0",
    "9".repeat(16),
    "9999999G",
  ])("%s is refused", (text) => {
    expect(parseCount(text).ok).toBe(false);
  });

  it("none removes a limit, in any letter case", () => {
    expect(parseLimit("none")).toEqual({ ok: true, value: "none" });
    expect(parseLimit("None")).toEqual({ ok: true, value: "none" });
    expect(parseLimit("5M")).toEqual({ ok: true, value: 5_000_000 });
    expect(parseLimit("nothing").ok).toBe(false);
  });
});

describe("a duration", () => {
  it.each([
    ["0", 0],
    ["45s", 45],
    ["90m", 5_400],
    ["24h", 86_400],
    ["7d", 604_800],
    ["2w", 1_209_600],
  ])("%s", (text, seconds) => {
    expect(parseDuration(text)).toEqual({ ok: true, value: seconds });
  });

  it.each(["", "24", "1.5h", "-1h", "7 d", "7D", "1h30m", "99999999d", "h"])("%s is refused", (text) => {
    expect(parseDuration(text).ok).toBe(false);
  });
});

describe("a time", () => {
  it("is the start of a day in UTC, or exact to the second with a time zone", () => {
    expect(parseTime("2027-01-31")).toEqual({ ok: true, value: Date.UTC(2027, 0, 31) });
    expect(parseTime("2027-01-31T18:00:00+02:00")).toEqual({ ok: true, value: Date.UTC(2027, 0, 31, 16) });
    expect(parseTimeOrNone("none")).toEqual({ ok: true, value: "none" });
  });

  it.each(["", "tomorrow", "2027-02-30", "31.01.2027", "2027-1-3", "2027-01-31T18:00:00", "1769206284"])(
    "%s is refused",
    (text) => {
      expect(parseTime(text).ok).toBe(false);
    },
  );

  it("a month must exist", () => {
    expect(parseMonth("2026-10")).toEqual({ ok: true, value: Date.UTC(2026, 9, 1) });
    for (const text of ["2026-13", "2026-00", "2026", "2026-1", "10-2026"])
      expect(parseMonth(text).ok).toBe(false);
  });
});

describe("names", () => {
  it("are separated by commas, and duplicates are dropped", () => {
    expect(parseNames("Clinical, Claims,Clinical")).toEqual({ ok: true, value: ["Clinical", "Claims"] });
    expect(parseNamesOrAll("all")).toEqual({ ok: true, value: "all" });
  });

  it.each(["", ",", "Clinical,", "a,,b"])("%s is refused", (text) => {
    expect(parseNames(text).ok).toBe(false);
  });
});

it("a request id is always one path segment", () => {
  const id = "req_0f8e2c54a9d04b7d8a51f0c2b1e6d3a7";
  expect(parseRequestId(` ${id} `)).toEqual({ ok: true, value: id });
  for (const text of ["", "req_12", `${id}0`, "a/b", "../keys", "a b", "a?b", "x".repeat(129)])
    expect(parseRequestId(text).ok).toBe(false);
});
