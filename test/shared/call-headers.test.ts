import { describe, expect, it } from "vitest";
import {
  ANSWER_HEADERS,
  CALL_VERSION,
  callDecoder,
  encodeCall,
  FORMATS,
  type Call,
} from "../../shared/call-headers.ts";
import { PRIORITIES } from "../../shared/fleet.ts";
import { CALL_DEADLINE_MS } from "../../shared/limits.ts";
import { SEEDS, SeededRandom } from "../support/seeded-random.ts";

const CALL: Call = {
  requestId: "req-1",
  dialect: "chat",
  format: "mediczy",
  wantedPort: 9101,
  ports: [9101, 9102],
  fallbackPorts: [9103],
  stream: true,
  choices: 1,
  continuable: true,
  keyId: "key-1",
  scope: "scope-1",
  agentType: "Radiology",
  priority: "normal",
  concurrent: 4,
  deadlineMs: 300_000,
  set: { n_predict: 512 },
};

/** Without a cache. */
const decodeCall = (headers: Parameters<ReturnType<typeof callDecoder>>[0]) => callDecoder(1)(headers);

/** The headers of a call with one field of its JSON replaced; undefined removes it. */
function withField(field: string, value: unknown): Record<string, string> {
  const headers = encodeCall(CALL);
  const fields = JSON.parse(headers["x-isha-call"] ?? "") as Record<string, unknown>;
  return { ...headers, "x-isha-call": JSON.stringify({ ...fields, [field]: value }) };
}

const VISIBLE = Array.from({ length: 0x7e - 0x20 }, (_, at) => String.fromCharCode(0x21 + at));

/** Includes line ends, control characters, half a surrogate pair and everything that JSON escapes. */
const ANY_TEXT = [...VISIBLE, ...Array.from(" \u0000\n\r\t\u007f\u0080éß漢字\u2028😀"), "\ud83d"];

function randomCall(random: SeededRandom): Call {
  const label = (): string => random.text(1 + random.below(128), VISIBLE);
  const ports = (): number[] => Array.from({ length: random.below(65) }, () => 1 + random.below(65_535));
  const text = (max: number): string => random.text(random.below(max + 1), ANY_TEXT);
  const plain = (): string | number | boolean =>
    random.pick([true, false, 0, 1.25, -3, 1e21, random.next(), text(30)]);
  const field = () =>
    random.chance(0.3) ? { [text(3)]: [text(4), null, { x: plain(), deep: [text(4)] }] } : plain();
  return {
    requestId: label(),
    dialect: "chat",
    format: random.pick(FORMATS),
    wantedPort: 1 + random.below(65_535),
    ports: ports(),
    fallbackPorts: ports(),
    stream: random.chance(0.5),
    choices: 1 + random.below(1000),
    continuable: random.chance(0.5),
    keyId: label(),
    scope: random.chance(0.5) ? label() : null,
    agentType: label(),
    priority: random.pick(PRIORITIES),
    concurrent: random.chance(0.5) ? 1 + random.below(1e9) : null,
    deadlineMs: 1 + random.below(CALL_DEADLINE_MS),
    set: Object.fromEntries(Array.from({ length: random.below(7) }, () => [text(6), field()])),
  };
}

/** The header that `decodeCall` rejects, or null if it accepts the call. */
function rejected(headers: Readonly<Record<string, string | undefined>>): string | null {
  const decoded = decodeCall(headers);
  return decoded.ok ? null : decoded.header;
}

describe("a call in headers", () => {
  it.each(SEEDS)("is decoded as it was encoded (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    for (let round = 0; round < 20; round += 1) {
      const call = randomCall(random);
      expect(decodeCall(encodeCall(call))).toEqual({ ok: true, call });
    }
  });

  it.each(SEEDS)("is visible ASCII only, with reserved names (seed %i)", (seed) => {
    for (const [name, value] of Object.entries(encodeCall(randomCall(new SeededRandom(seed))))) {
      expect(name.startsWith("x-isha-")).toBe(true);
      expect(value).toMatch(/^[\x20-\x7e]*$/);
    }
  });

  it.each(SEEDS)("passes through Headers unchanged (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    for (let round = 0; round < 20; round += 1) {
      const call = randomCall(random);
      expect(decodeCall(Object.fromEntries(new Headers(encodeCall(call))))).toEqual({ ok: true, call });
    }
  });

  it("may have no port, no scope and no limit", () => {
    const bare: Call = { ...CALL, ports: [], fallbackPorts: [], scope: null, concurrent: null };
    expect(encodeCall(bare)).not.toHaveProperty("x-isha-scope");
    expect(decodeCall(encodeCall(bare))).toEqual({ ok: true, call: bare });
  });

  it("may be among other headers", () => {
    expect(rejected({ ...encodeCall(CALL), host: "127.0.0.1", "x-isha-token": "t" })).toBeNull();
  });
});

it.each([CALL_VERSION - 1, CALL_VERSION + 1])(
  "a call of the adjacent version %i is read: agents and edge are deployed one after the other",
  (v) => {
    expect(decodeCall(withField("v", v))).toEqual({ ok: true, call: CALL });
  },
);

it("a field of the next release is ignored", () => {
  expect(decodeCall(withField("later", ["unread"]))).toEqual({ ok: true, call: CALL });
});

describe("a wrong header is named:", () => {
  it.each(["x-isha-call", "x-isha-request-id"])("%s is missing", (name) => {
    expect(rejected({ ...encodeCall(CALL), [name]: undefined })).toBe(name);
  });

  const fields = JSON.parse(encodeCall(CALL)["x-isha-call"] ?? "") as object;
  it.each(Object.keys(fields))("the field %s is missing", (field) => {
    expect(rejected(withField(field, undefined))).toBe(`x-isha-call.${field}`);
  });

  it.each([
    ["x-isha-call", ""],
    // From version 1.
    ["x-isha-call", "1"],
    ["x-isha-call", "{"],
    ["x-isha-call", "[]"],
    ["x-isha-call", "null"],
    ["x-isha-call", `{"v":2,"a":"${"b".repeat(8192)}"}`],
    ["x-isha-request-id", ""],
    ["x-isha-request-id", "two words"],
    ["x-isha-request-id", "a".repeat(129)],
    ["x-isha-request-id", "é"],
    ["x-isha-scope", ""],
    ["x-isha-scope", "two words"],
  ])("%s: %j", (name, value) => {
    expect(rejected({ ...encodeCall(CALL), [name]: value })?.split(".")[0]).toBe(name);
  });

  it.each([
    ["v", CALL_VERSION - 2],
    ["v", CALL_VERSION + 2],
    ["v", CALL_VERSION + 0.5],
    ["v", String(CALL_VERSION)],
    ["dialect", "poem"],
    ["format", "OpenAI"],
    ["wantedPort", "eighty"],
    ["wantedPort", -1],
    ["wantedPort", 8.5],
    ["ports", "9101"],
    ["ports", [0]],
    ["ports", [65_536]],
    ["ports", [null]],
    ["ports", Array.from({ length: 65 }, () => 1)],
    ["fallbackPorts", ["9103"]],
    ["stream", "true"],
    ["choices", 0],
    ["choices", 1.5],
    ["continuable", 1],
    ["keyId", ""],
    ["keyId", "a".repeat(129)],
    ["agentType", "two words"],
    ["priority", "urgent"],
    ["concurrent", 0],
    ["concurrent", "many"],
    ["deadlineMs", 0],
    ["deadlineMs", CALL_DEADLINE_MS + 1],
    ["set", []],
    ["set", null],
    ["set", { stop: ["a"] }],
    ["set", { a: null }],
  ])("the field %s: %j", (field, value) => {
    expect(rejected(withField(field, value))).toBe(`x-isha-call.${field}`);
  });

  it.each(["x-isha-call", "x-isha-request-id", "x-isha-scope"])(
    "%s twice, which Node returns as a list",
    (name) => {
      const headers = encodeCall(CALL);
      const twice = { ...headers, [name]: [headers[name] ?? "", headers[name] ?? ""] };
      expect(decodeCall(twice)).toMatchObject({ ok: false, header: name });
    },
  );

  it("without a part of its value", () => {
    const decoded = decodeCall(withField("agentType", "chest pain since Monday"));
    expect(decoded.ok).toBe(false);
    expect(JSON.stringify(decoded)).not.toContain("chest");
  });
});

describe("the headers of an answer", () => {
  it("for the client are lower case, unique, and none of the internal ones", () => {
    expect(ANSWER_HEADERS.map((name) => name.toLowerCase())).toEqual([...ANSWER_HEADERS]);
    expect(new Set(ANSWER_HEADERS).size).toBe(ANSWER_HEADERS.length);
    for (const internal of ["x-isha-agent", "x-isha-started", "x-isha-code", "x-isha-token", "server"]) {
      expect(ANSWER_HEADERS as readonly string[]).not.toContain(internal);
    }
  });
});

describe("a decoder with a cache", () => {
  it("returns the same with and without a cached entry", () => {
    const decode = callDecoder(2);
    for (const more of [
      {},
      { requestId: "req_2" },
      { keyId: "j" },
      { concurrent: 5 },
      { scope: "s" },
      { scope: null },
      {},
      { set: { n_predict: 3 } },
    ]) {
      const headers = encodeCall({ ...CALL, ...more });
      expect(decode(headers)).toEqual(decodeCall(headers));
      expect(decode(headers)).toEqual({ ok: true, call: { ...CALL, ...more } });
    }
  });

  it("rejects malformed headers next to cached fields", () => {
    const decode = callDecoder(10);
    const headers = encodeCall(CALL);
    expect(decode(headers).ok).toBe(true);
    for (const bad of [
      { ...headers, "x-isha-call": [headers["x-isha-call"] ?? ""] },
      { ...headers, "x-isha-scope": "two words" },
      { ...headers, "x-isha-request-id": "two words" },
      { ...headers, "x-isha-request-id": undefined },
    ]) {
      expect(decode(bad).ok).toBe(false);
    }
  });
});
