import { describe, expect, it } from "vitest";
import { clientCall, sentOn } from "../../../bench/measures/calls.ts";

describe("calls", () => {
  it.each(["json", "stream", "mediczy"] as const)("the body of a %s is 1.5 KB of JSON", (kind) => {
    const { body } = clientCall(kind, 8080);
    expect(Buffer.byteLength(body)).toBe(1536);
    expect(JSON.parse(body)).toMatchObject({ model_port: 8080, stream: kind !== "json" });
  });

  it("are sent on with the edge's headers, without those of its connection", () => {
    const call = clientCall("json", 8080);
    const seen = { host: "127.0.0.1:1", "content-length": "1536", connection: "keep-alive", "x-one": "1" };
    expect(sentOn(call, seen)).toEqual({ ...call, headers: { "x-one": "1" } });
  });
});
