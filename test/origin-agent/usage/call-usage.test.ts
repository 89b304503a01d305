// The journal record and the log line of a report.
import { describe, expect, it } from "vitest";
import { callLog } from "../../../origin-agent/telemetry/call-log.ts";
import type { CallReport } from "../../../origin-agent/calls/report.ts";
import { callEnd } from "../../../origin-agent/usage/call-usage.ts";
import type { ErrorCode } from "../../../shared/errors.ts";
import { callOf } from "../support/ask.ts";

const COUNTS = { promptTokens: 25, cachedTokens: 5, completionTokens: 7 };
const REPORT: CallReport = {
  outcome: "answered",
  port: 9101,
  refusal: null,
  queueMs: 3,
  firstByteMs: 40,
  replays: 0,
  continuations: 0,
  counts: COUNTS,
  otherChoiceTokens: 0,
  estimate: 9,
  promptEstimate: 100,
};
const refused = (code: ErrorCode): Partial<CallReport> => ({
  outcome: "refused",
  counts: null,
  refusal: { code, message: "A public sentence.", internal: "port 9101 answered 500" },
});

describe("a call's record", () => {
  it("has the server's own counts unchanged", () => {
    expect(callEnd({ choices: 1 }, REPORT, 99.6)).toEqual({
      outcome: "complete",
      ...COUNTS,
      choices: 1,
      estimated: false,
      durationMs: 100,
    });
  });

  it.each<[string, Partial<CallReport>, number, object]>([
    [
      "of several choices includes the other choices and is marked as an estimate",
      { otherChoiceTokens: 14 },
      3,
      { completionTokens: 21, estimated: true, choices: 3 },
    ],
    [
      "of a continued answer is marked as an estimate",
      { continuations: 1 },
      1,
      { completionTokens: 7, estimated: true },
    ],
    [
      "of a replayed call has the last server's counts",
      { replays: 1 },
      1,
      { completionTokens: 7, estimated: false },
    ],
    [
      "of a client that disconnected has the decoded tokens",
      { outcome: "left", counts: null },
      1,
      { outcome: "aborted", completionTokens: 9, promptTokens: 100, estimated: true },
    ],
    [
      "has null for unknown counts, never 0",
      { outcome: "left", counts: null, estimate: null },
      1,
      { completionTokens: null, cachedTokens: null, promptTokens: 100 },
    ],
    [
      "of an exceeded deadline has the outcome expired",
      refused("deadline_exceeded"),
      1,
      { outcome: "expired" },
    ],
    ["of a failed server has the outcome broken", refused("upstream_failed"), 1, { outcome: "broken" }],
    ["of a stalled server has the outcome broken", refused("upstream_timeout"), 1, { outcome: "broken" }],
    ["of any other refusal has the outcome refused", refused("invalid_request"), 1, { outcome: "refused" }],
  ])("%s", (_what, other, choices, expected) => {
    expect(callEnd({ choices }, { ...REPORT, ...other }, 1)).toMatchObject(expected);
  });
});

describe("a call's log line", () => {
  it("has ids, times and counts, and for a refusal its code and the internal text", () => {
    expect(callLog(callOf({ scope: "patient-1" }), REPORT, 99.6)).toMatchObject({
      event: "call",
      request_id: "req-1",
      port: 9101,
      outcome: "complete",
      ms: 100,
      prompt_tokens: 25,
      completion_tokens: 7,
    });
    const line = callLog(callOf({}), { ...REPORT, ...refused("upstream_failed"), replays: 2 }, 1);
    expect(line).toMatchObject({
      outcome: "broken",
      code: "upstream_failed",
      cause: "port 9101 answered 500",
      replays: 2,
    });
    expect(JSON.stringify(line)).not.toContain("sentence");
    expect(callLog(callOf({}), REPORT, 1)).not.toHaveProperty("code");
    const several = callLog(callOf({ choices: 3 }), { ...REPORT, otherChoiceTokens: 14 }, 1);
    expect(several).toMatchObject({ completion_tokens: 21 });
  });
});
