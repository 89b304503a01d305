import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Progress } from "../../../scripts/test/progress.ts";

describe("progress", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function screen(isTerminal: boolean) {
    const written: string[] = [];
    const progress = new Progress({
      write: (text) => void written.push(text),
      isTerminal,
      columns: () => 30,
      now: () => performance.now(),
    });
    return { progress, written };
  }

  it("outside a terminal is a line at the start, one every 30 s, and one at the end", () => {
    const { progress, written } = screen(false);
    let tests = 0;
    progress.start("unit", () => `${tests} tests`);
    expect(written).toEqual(["unit     started\n"]);
    tests = 7;
    vi.advanceTimersByTime(60_000);
    expect(written.slice(1)).toEqual(["unit     7 tests, 30 s\n", "unit     7 tests, 60 s\n"]);
    progress.finish("unit", (seconds) => `unit ok (${seconds} s)`);
    vi.advanceTimersByTime(60_000);
    expect(written.slice(3)).toEqual(["unit ok (60 s)\n"]);
  });

  it("on a terminal is one line, updated in place and cut to its width", () => {
    const { progress, written } = screen(true);
    progress.start("unit", () => "12345 tests, 10 of 300 files");
    vi.advanceTimersByTime(1_000);
    expect(written).toHaveLength(2);
    expect(written[1]).toBe("\r\u001B[2Kunit     12345 tests, 10 of 3");
    progress.finish("unit", () => "unit ok");
    expect(written[2]).toBe("\r\u001B[2Kunit ok\n");
    vi.advanceTimersByTime(5_000);
    expect(written).toHaveLength(3);
  });
});
