// Durations on a slot, on a clock that the test moves: the pace of prompts and tokens, and the moments
// after a client left.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { End, Work } from "./llama/generation.ts";
import { readParams } from "./llama/params.ts";
import { SlotPool, TaskGroup } from "./llama/slots.ts";
import { SwitchBoard } from "./llama/switches.ts";
import type { Switches } from "./llama/switches.ts";

/** The share of its bound that every random delay takes: the longest there is. */
const LONGEST = 1 - Number.EPSILON;

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ["setTimeout", "clearTimeout", "setImmediate", "clearImmediate", "performance"],
  });
  vi.spyOn(Math, "random").mockReturnValue(LONGEST);
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

interface Run {
  board: SwitchBoard;
  pool: SlotPool;
  group: TaskGroup;
  /** Tokens generated so far. */
  tokens: () => number;
  /** Tokens of the prompt evaluated so far. */
  read: () => number;
  end: () => End | null;
}

/** One call on a server of one slot that picks it up at once; its prompt is a hundred tokens. */
function submit(switches: Partial<Switches>, maxTokens = -1): Run {
  const board = new SwitchBoard({ promptTokensPerSecond: 0, pickUpMs: 0, ...switches });
  const pool = new SlotPool(1, 4_096, board);
  let end: End | null = null;
  const work: Work = {
    prompt: Array.from({ length: 100 }, () => " word"),
    promptText: "",
    params: readParams({ max_tokens: maxTokens }, 1, null),
    cachePrompt: false,
    source: { next: () => ({ text: " a", channel: "content" }) },
    onToken: () => "go",
    onEnd: (reason) => (end = reason),
    onError: (error) => {
      throw error;
    },
  };
  const group = new TaskGroup([work], null);
  pool.submit(group);
  const [generation] = group.generations;
  return {
    board,
    pool,
    group,
    tokens: () => generation?.generated.length ?? 0,
    read: () => generation?.processed ?? 0,
    end: () => end,
  };
}

describe("the pace", () => {
  it("of an answer is the switch's: the first token at once, then one an interval, until the last", () => {
    const { tokens, end } = submit({ tokensPerSecond: 100 }, 21);
    const counts = Array.from({ length: 22 }, () => {
      vi.advanceTimersByTime(tokens() === 0 ? 1 : 10);
      return tokens();
    });
    expect(counts).toEqual([...Array.from({ length: 21 }, (_, at) => at + 1), 21]);
    expect(end()).toBe("limit");
  });

  it("of an answer is slower by `slowFactor`", () => {
    const { tokens } = submit({ tokensPerSecond: 100, slowFactor: 10 });
    vi.advanceTimersByTime(1);
    expect(tokens()).toBe(1);
    vi.advanceTimersByTime(98);
    expect(tokens()).toBe(1);
    vi.advanceTimersByTime(902);
    expect(tokens()).toBe(11);
  });

  it("of a prompt is the switch's, and its first token follows at its end", () => {
    const { read, tokens } = submit({ promptTokensPerSecond: 500, tokensPerSecond: 1 });
    vi.advanceTimersByTime(101);
    expect([read(), tokens()]).toEqual([50, 0]);
    vi.advanceTimersByTime(98);
    expect([read(), tokens()]).toEqual([90, 0]);
    vi.advanceTimersByTime(2);
    expect([read(), tokens()]).toEqual([100, 1]);
  });

  it("0 takes no time", () => {
    const { end, tokens } = submit({ tokensPerSecond: 0 }, 60);
    vi.advanceTimersByTime(1);
    expect([tokens(), end()]).toEqual([60, "limit"]);
  });

  it("0 is reported as 10,000 tokens a second, however busy the machine is", () => {
    const { board, group, end } = submit({ tokensPerSecond: 0, stallAfterTokens: 5 }, 60);
    vi.advanceTimersByTime(60_000);
    board.merge({ stallAfterTokens: null });
    vi.advanceTimersByTime(60_000);
    expect([end(), group.generations[0]?.measures().predictedMs]).toEqual(["limit", 6]);
  });
});

describe("a prompt that is held", () => {
  it.each([0, 500])("stands still at the token, at a pace of %d, and goes on", (promptTokensPerSecond) => {
    const { board, read, tokens } = submit({
      promptTokensPerSecond,
      tokensPerSecond: 0,
      stallAfterPromptTokens: 35,
    });
    vi.advanceTimersByTime(60_000);
    expect([read(), tokens()]).toEqual([35, 0]);
    board.merge({ stallAfterPromptTokens: 100 });
    vi.advanceTimersByTime(60_000);
    expect([read(), tokens()]).toEqual([100, 0]);
    board.merge({ stallAfterPromptTokens: null, stallAfterTokens: 2 });
    vi.advanceTimersByTime(1);
    expect(tokens()).toBe(2);
  });
});

describe("a slot", () => {
  it("turns busy at most `pickUpMs` after its request came", () => {
    const { pool } = submit({ pickUpMs: 2 });
    expect(pool.processing).toBe(0);
    vi.advanceTimersByTime(2);
    expect(pool.processing).toBe(1);
  });

  it("turns busy at most 17 ms after the client of a request on its way left", () => {
    const { pool, group } = submit({ pickUpMs: 1_000 });
    vi.advanceTimersByTime(5);
    pool.leave(group);
    vi.advanceTimersByTime(15);
    expect(pool.processing).toBe(0);
    vi.advanceTimersByTime(2);
    expect(pool.processing).toBe(1);
    vi.advanceTimersByTime(90);
    expect(pool.processing).toBe(0);
  });

  it("stays free while `holdPickUp` is on, and turns busy once when it is off", () => {
    const { board, pool, group, tokens, end } = submit({ holdPickUp: true, tokensPerSecond: 1 }, 3);
    vi.advanceTimersByTime(60_000);
    pool.leave(group);
    board.merge({ holdPickUp: false });
    expect(pool.processing).toBe(1);
    vi.advanceTimersByTime(90);
    expect([pool.processing, tokens(), end()]).toEqual([0, 1, "aborted"]);
  });

  it("is free at most 90 ms after its client left", () => {
    const { pool, group, end } = submit({ tokensPerSecond: 30 });
    vi.advanceTimersByTime(1_000);
    pool.leave(group);
    vi.advanceTimersByTime(88);
    expect(pool.processing).toBe(1);
    vi.advanceTimersByTime(2);
    expect([pool.processing, end()]).toEqual([0, "aborted"]);
  });

  it("goes on for exactly `busyAfterAbortMs` after its client left", () => {
    const { pool, group, tokens } = submit({ busyAfterAbortMs: 400, tokensPerSecond: 200 });
    vi.advanceTimersByTime(1);
    pool.leave(group);
    vi.advanceTimersByTime(399);
    expect(pool.processing).toBe(1);
    expect(tokens()).toBe(81);
    vi.advanceTimersByTime(1);
    expect(pool.processing).toBe(0);
  });
});
