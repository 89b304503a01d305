import { describe, expect, it } from "vitest";
import {
  readCount,
  readLimit,
  readMoment,
  readMomentOrNone,
  readMonth,
  readNames,
  readNamesOrAll,
  readRequestId,
  readSpan,
} from "../../../cli/options/option-values.ts";

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
    // As floating point this would be 2_299_999.9999999995.
    ["2.3M", 2_300_000],
  ])("%s is read exactly", (text, value) => {
    expect(readCount(text)).toEqual({ ok: true, value });
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
  ])("%s is refused, not guessed at", (text) => {
    expect(readCount(text).ok).toBe(false);
  });

  it("none lifts a limit, in any letter case", () => {
    expect(readLimit("none")).toEqual({ ok: true, value: "none" });
    expect(readLimit("None")).toEqual({ ok: true, value: "none" });
    expect(readLimit("5M")).toEqual({ ok: true, value: 5_000_000 });
    expect(readLimit("nothing").ok).toBe(false);
  });
});

describe("a length of time", () => {
  it.each([
    ["0", 0],
    ["45s", 45],
    ["90m", 5_400],
    ["24h", 86_400],
    ["7d", 604_800],
    ["2w", 1_209_600],
  ])("%s", (text, seconds) => {
    expect(readSpan(text)).toEqual({ ok: true, value: seconds });
  });

  it.each(["", "24", "1.5h", "-1h", "7 d", "7D", "1h30m", "99999999d", "h"])("%s is refused", (text) => {
    expect(readSpan(text).ok).toBe(false);
  });
});

describe("a moment", () => {
  it("is a day's beginning in UTC, or exact to the second with its zone", () => {
    expect(readMoment("2027-01-31")).toEqual({ ok: true, value: Date.UTC(2027, 0, 31) });
    expect(readMoment("2027-01-31T18:00:00+02:00")).toEqual({ ok: true, value: Date.UTC(2027, 0, 31, 16) });
    expect(readMomentOrNone("none")).toEqual({ ok: true, value: "none" });
  });

  it.each(["", "tomorrow", "2027-02-30", "31.01.2027", "2027-1-3", "2027-01-31T18:00:00", "1769206284"])(
    "%s is refused",
    (text) => {
      expect(readMoment(text).ok).toBe(false);
    },
  );

  it("a month is one there is", () => {
    expect(readMonth("2026-10")).toEqual({ ok: true, value: Date.UTC(2026, 9, 1) });
    for (const text of ["2026-13", "2026-00", "2026", "2026-1", "10-2026"])
      expect(readMonth(text).ok).toBe(false);
  });
});

describe("names", () => {
  it("stand between commas, each once", () => {
    expect(readNames("Clinical, Claims,Clinical")).toEqual({ ok: true, value: ["Clinical", "Claims"] });
    expect(readNamesOrAll("all")).toEqual({ ok: true, value: "all" });
  });

  it.each(["", ",", "Clinical,", "a,,b"])("%s is refused", (text) => {
    expect(readNames(text).ok).toBe(false);
  });
});

it("a request's id is one path segment, whatever was pasted", () => {
  const id = "req_0f8e2c54a9d04b7d8a51f0c2b1e6d3a7";
  expect(readRequestId(` ${id} `)).toEqual({ ok: true, value: id });
  for (const text of ["", "req_12", `${id}0`, "a/b", "../keys", "a b", "a?b", "x".repeat(129)])
    expect(readRequestId(text).ok).toBe(false);
});
