import { expect, it } from "vitest";
import { callDecoder, encodeCall, type Call } from "../../../shared/call-headers.ts";

const CALL: Call = {
  requestId: "req_1",
  dialect: "chat",
  format: "mediczy",
  wantedPort: 9001,
  ports: [9001, 9002],
  fallbackPorts: [9000],
  stream: true,
  choices: 1,
  continuable: true,
  keyId: "Ab3dEf6h",
  scope: "0123456789abcdef",
  agentType: "Alpha",
  priority: "normal",
  concurrent: 4,
  deadlineMs: 300_000,
  set: { 'é漢😀"\\\u0000\n\r\t\u007f\u0080\u2028': "ß\ud83d", n_predict: 512 },
};

it("a call passes through workerd's Headers unchanged", () => {
  const crossed = Object.fromEntries(new Headers(encodeCall(CALL)));
  expect(callDecoder(1)(crossed)).toEqual({ ok: true, call: CALL });
});
