import { describe, expect, it } from "vitest";
import {
  cpuSeconds,
  exactCpuSeconds,
  mainThreadSeconds,
  parsePsTime,
  parseStat,
  treeCpuSeconds,
} from "../../../bench/measures/cpu-time.ts";

describe("CPU time", () => {
  const stat = "1234 (node) S 1 1234 1234 0 -1 4194304 100 0 0 0 250 75 900 900 20 0 11 0 1 1 1";

  it("of a process is its user and system time, not its children's", () => {
    expect(parseStat(stat)).toBe(3.25);
  });

  it("is read correctly if the command holds spaces and parentheses", () => {
    expect(parseStat(stat.replace("(node)", "(a) b (c) 1 2)"))).toBe(3.25);
  });

  it("of ps is read with hours, days and hundredths", () => {
    expect(parsePsTime("   0:01.25\n")).toBe(1.25);
    expect(parsePsTime("01:02:03")).toBe(3723);
    expect(parsePsTime("2-01:00:00")).toBe(176_400);
  });

  it("of this process grows with what it does", () => {
    const before = cpuSeconds(process.pid);
    const start = process.cpuUsage();
    const spent = (): number => process.cpuUsage(start).user + process.cpuUsage(start).system;
    // Five of the kernel's ticks, however long it takes to get them.
    while (spent() < 50_000);
    expect(cpuSeconds(process.pid)).toBeGreaterThan(before);
  });

  it("of the main thread, of all threads and of a process with its children is counted", () => {
    for (const seconds of [mainThreadSeconds(process.pid) ?? 1, exactCpuSeconds(process.pid)]) {
      expect(seconds).toBeGreaterThan(0);
    }
    expect(treeCpuSeconds(process.pid)).toBeGreaterThan(0);
  });
});
