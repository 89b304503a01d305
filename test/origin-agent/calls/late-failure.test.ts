// Checks which failed calls a box reports to its edge.
import { describe, expect, it } from "vitest";
import { lateFailure } from "../../../origin-agent/calls/late-failure.ts";

const CALL = {
  requestId: "req_1",
  keyId: "key-1",
  agentType: "Alpha",
  stream: true,
  dialect: "chat",
} as const;
const BROKEN = {
  outcome: "refused",
  refusal: { code: "upstream_failed", message: "words" },
  firstByteMs: 100,
  port: 9001,
} as const;

describe("a failed call", () => {
  it("that failed during its answer is reported: ids, code, route, port and agent type, but no text", () => {
    expect(lateFailure(CALL, BROKEN, 500)).toEqual({
      requestId: "req_1",
      keyId: "key-1",
      code: "upstream_failed",
      route: "/v1/chat/completions",
      port: 9001,
      agentType: "Alpha",
    });
  });

  it("whose headers were sent before any answer is reported too, streamed or not", () => {
    expect(lateFailure(CALL, { ...BROKEN, firstByteMs: null }, 2_000)).not.toBeNull();
    expect(lateFailure({ ...CALL, stream: false }, { ...BROKEN, firstByteMs: null }, 50_000)).not.toBeNull();
  });

  it("that ended with a status is not reported: the edge saw it", () => {
    expect(lateFailure(CALL, { ...BROKEN, firstByteMs: null }, 1_000)).toBeNull();
    expect(lateFailure({ ...CALL, stream: false }, BROKEN, 40_000)).toBeNull();
  });

  it("whose client left, or that didn't fail, is not reported", () => {
    expect(lateFailure(CALL, { ...BROKEN, outcome: "left" }, 5_000)).toBeNull();
    expect(lateFailure(CALL, { ...BROKEN, outcome: "answered", refusal: null }, 5_000)).toBeNull();
  });

  it("with an id that a record can't contain is not reported, not even shortened", () => {
    expect(lateFailure({ ...CALL, keyId: "two words" }, BROKEN, 500)).toBeNull();
  });

  it("with an agent type that a record can't contain is reported without it", () => {
    const failed = lateFailure({ ...CALL, agentType: "two(words)" }, BROKEN, 500);
    expect(failed).toMatchObject({ requestId: "req_1" });
    expect(failed).not.toHaveProperty("agentType");
  });
});
