// The contract of a call between edge and agent: what is written is what is read.
import { describe, expect, it } from "vitest";
import { callDecoder, encodeCall, type Call } from "../../../shared/call-headers.ts";
import { seeded, type Random } from "../support/random.ts";

const PRINTABLE = Array.from({ length: 94 }, (_, at) => String.fromCharCode(at + 0x21)).join("");
const ANY_TEXT = `${PRINTABLE} \u0000\n\r\t\u007f\u0080éß漢字\u2028😀\ud83d"\\`;

const decodeCall = callDecoder(1);

describe("a call in headers", () => {
  it("is read as it was written, whatever it holds", () => {
    for (let seed = 1; seed <= 1_000; seed += 1) {
      const call = randomCall(seeded(seed));
      expect(decodeCall(encodeCall(call)), `seed ${seed}`).toEqual({ ok: true, call });
    }
  });

  it("crosses a real header block unchanged, every value in printable ASCII", () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const call = randomCall(seeded(seed));
      const written = encodeCall(call);
      for (const value of Object.values(written)) expect(value, `seed ${seed}`).toMatch(/^[\x20-\x7e]*$/);
      const crossed = Object.fromEntries(new Headers(written));
      expect(decodeCall(crossed), `seed ${seed}`).toEqual({ ok: true, call });
    }
  });
});

function randomCall(random: Random): Call {
  const label = (): string => random.text(PRINTABLE, random.whole(1, 128));
  const port = (): number => random.whole(1, 65_535);
  return {
    requestId: label(),
    dialect: "chat",
    format: random.pick(["openai", "mediczy"] as const),
    wantedPort: port(),
    ports: Array.from({ length: random.whole(0, 64) }, port),
    fallbackPorts: Array.from({ length: random.whole(0, 3) }, port),
    stream: random.chance(0.5),
    choices: random.whole(1, 1000),
    continuable: random.chance(0.5),
    keyId: label(),
    scope: random.chance(0.5) ? label() : null,
    agentType: label(),
    priority: random.pick(["high", "normal", "low"] as const),
    concurrent: random.chance(0.5) ? random.whole(1, 1e9) : null,
    deadlineMs: random.whole(1, 300_000),
    set: Object.fromEntries(
      Array.from({ length: random.whole(0, 6) }, () => [random.text(ANY_TEXT, 6), value(random)]),
    ),
  };
}

function value(random: Random): string | number | boolean | Record<string, unknown> {
  const plain = [true, false, 0, 1.25, -3, 1e21, random.text(ANY_TEXT, random.whole(0, 20))];
  return random.chance(0.3)
    ? { [random.text(ANY_TEXT, 3)]: [random.text(ANY_TEXT, 4), null, { x: random.pick(plain) }] }
    : random.pick(plain);
}
