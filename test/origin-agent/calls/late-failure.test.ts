// Which failed calls a box tells its edge of.
import { describe, expect, it } from "vitest";
import { lateFailure } from "../../../origin-agent/calls/late-failure.ts";

const CALL = { requestId: "req_1", keyId: "key-1", stream: true, dialect: "chat" } as const;
const BROKEN = {
  outcome: "refused",
  refusal: { code: "upstream_failed", message: "words" },
  firstByteMs: 100,
  port: 9001,
} as const;

describe("a failed call", () => {
  it("that had begun to be answered is told: ids, code, route and port, no word of it", () => {
    expect(lateFailure(CALL, BROKEN, 500)).toEqual({
      requestId: "req_1",
      keyId: "key-1",
      code: "upstream_failed",
      route: "/v1/chat/completions",
      port: 9001,
    });
  });

  it("whose headers had gone out in silence is told too, streamed or not", () => {
    expect(lateFailure(CALL, { ...BROKEN, firstByteMs: null }, 2_000)).not.toBeNull();
    expect(lateFailure({ ...CALL, stream: false }, { ...BROKEN, firstByteMs: null }, 50_000)).not.toBeNull();
  });

  it("that ended in a status isn't: the edge saw it", () => {
    expect(lateFailure(CALL, { ...BROKEN, firstByteMs: null }, 1_000)).toBeNull();
    expect(lateFailure({ ...CALL, stream: false }, BROKEN, 40_000)).toBeNull();
  });

  it("that its client left, or that didn't fail, isn't", () => {
    expect(lateFailure(CALL, { ...BROKEN, outcome: "left" }, 5_000)).toBeNull();
    expect(lateFailure(CALL, { ...BROKEN, outcome: "answered", refusal: null }, 5_000)).toBeNull();
  });

  it("of a name that may not stand in a record isn't, not even cut", () => {
    expect(lateFailure({ ...CALL, keyId: "two words" }, BROKEN, 500)).toBeNull();
  });
});
