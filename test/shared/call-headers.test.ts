import { describe, expect, it } from "vitest";
import {
  ANSWER_HEADERS,
  decodeCall,
  encodeCall,
  FORMATS,
  rememberingDecoder,
  RESERVED_PREFIX,
  type Call,
} from "../../shared/call-headers.ts";
import { PRIORITIES } from "../../shared/fleet.ts";
import { CALL_DEADLINE_MS } from "../../shared/limits.ts";
import { SEEDS, SeededRandom } from "./seeded-random.ts";

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

const OPTIONAL = ["x-isha-scope", "x-isha-concurrent"];
const VISIBLE = Array.from({ length: 0x7e - 0x20 }, (_, at) => String.fromCharCode(0x21 + at));

function randomCall(random: SeededRandom): Call {
  const label = (): string => random.text(1 + random.below(128), VISIBLE);
  const ports = (): number[] => Array.from({ length: random.below(5) }, () => 1 + random.below(65_535));
  const text = random.text(random.below(30), Array.from('aé漢😀"\\\n\u0000\u007f\u2028 }{,:'));
  return {
    requestId: label(),
    dialect: "chat",
    format: random.pick(FORMATS),
    wantedPort: 1 + random.below(65_535),
    ports: ports(),
    fallbackPorts: ports(),
    stream: random.chance(0.5),
    choices: 1 + random.below(8),
    continuable: random.chance(0.5),
    keyId: label(),
    scope: random.chance(0.5) ? label() : null,
    agentType: label(),
    priority: random.pick(PRIORITIES),
    concurrent: random.chance(0.5) ? random.below(1000) : null,
    deadlineMs: 1 + random.below(CALL_DEADLINE_MS),
    set: { [`f${text}`]: text, on: random.chance(0.5), n: random.next(), nested: { deep: [text, null] } },
  };
}

/** The header `decodeCall` complains of, or null where it takes the call. */
function complaint(headers: Readonly<Record<string, string | undefined>>): string | null {
  const decoded = decodeCall(headers);
  return decoded.ok ? null : decoded.header;
}

describe("a call in headers", () => {
  it.each(SEEDS)("comes out as it went in, whatever it holds (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    for (let round = 0; round < 20; round += 1) {
      const call = randomCall(random);
      expect(decodeCall(encodeCall(call))).toEqual({ ok: true, call });
    }
  });

  it.each(SEEDS)("is visible ASCII only, under reserved names (seed %i)", (seed) => {
    for (const [name, value] of Object.entries(encodeCall(randomCall(new SeededRandom(seed))))) {
      expect(name.startsWith(RESERVED_PREFIX)).toBe(true);
      expect(value).toMatch(/^[\x20-\x7e]*$/);
    }
  });

  it("tells an empty list of ports from none", () => {
    const headers = encodeCall({ ...CALL, ports: [], fallbackPorts: [] });
    expect(headers).toMatchObject({ "x-isha-ports": "", "x-isha-fallback-ports": "" });
    expect(decodeCall(headers)).toMatchObject({ ok: true, call: { ports: [], fallbackPorts: [] } });
  });

  it("leaves out the two that a call may be without", () => {
    const headers = encodeCall({ ...CALL, scope: null, concurrent: null });
    for (const name of OPTIONAL) expect(headers).not.toHaveProperty(name);
    expect(decodeCall(headers)).toMatchObject({ ok: true, call: { scope: null, concurrent: null } });
  });

  it("may have other headers beside it", () => {
    expect(complaint({ ...encodeCall(CALL), host: "127.0.0.1", "x-isha-token": "t" })).toBeNull();
  });
});

describe("a header that is wrong is named:", () => {
  it.each(Object.keys(encodeCall(CALL)).filter((name) => !OPTIONAL.includes(name)))(
    "%s is missing",
    (name) => {
      expect(complaint({ ...encodeCall(CALL), [name]: undefined })).toBe(name);
    },
  );

  it.each([
    ["x-isha-call", "2"],
    ["x-isha-call", ""],
    ["x-isha-request-id", ""],
    ["x-isha-request-id", "two words"],
    ["x-isha-request-id", "a".repeat(129)],
    ["x-isha-request-id", "é"],
    ["x-isha-dialect", "poem"],
    ["x-isha-format", "OpenAI"],
    ["x-isha-wanted-port", "eighty"],
    ["x-isha-wanted-port", "-1"],
    ["x-isha-wanted-port", "8.5"],
    ["x-isha-ports", "9101;9102"],
    ["x-isha-ports", "9101,"],
    ["x-isha-ports", "0"],
    ["x-isha-ports", "65536"],
    ["x-isha-ports", "NaN"],
    ["x-isha-ports", Array.from({ length: 65 }, () => "1").join(",")],
    ["x-isha-fallback-ports", "9103, x"],
    ["x-isha-stream", "true"],
    ["x-isha-choices", "one"],
    ["x-isha-choices", "1, 1"],
    ["x-isha-continuable", "yes"],
    ["x-isha-key", ""],
    ["x-isha-scope", "two words"],
    ["x-isha-agent-type", ""],
    ["x-isha-priority", "urgent"],
    ["x-isha-concurrent", "many"],
    ["x-isha-deadline-ms", "0"],
    ["x-isha-deadline-ms", String(CALL_DEADLINE_MS + 1)],
    ["x-isha-set", "{"],
    ["x-isha-set", "[]"],
    ["x-isha-set", "null"],
    ["x-isha-set", '{"stop":["a"]}'],
    ["x-isha-set", `{"a":"${"b".repeat(4096)}"}`],
  ])("%s: %j", (name, value) => {
    expect(complaint({ ...encodeCall(CALL), [name]: value })).toBe(name);
  });

  it("a header given twice, which Node joins with a comma", () => {
    const headers = { ...encodeCall(CALL), "x-isha-key": ["key-1", "key-2"] };
    expect(decodeCall(headers)).toMatchObject({ ok: false, header: "x-isha-key" });
  });

  it("with a reason that doesn't repeat what stood in it", () => {
    const decoded = decodeCall({ ...encodeCall(CALL), "x-isha-agent-type": "chest pain since Monday" });
    expect(decoded.ok).toBe(false);
    expect(JSON.stringify(decoded)).not.toContain("chest");
  });
});

describe("the headers of an answer", () => {
  it("that reach the client are lower case, each once, and none that is between edge and agent", () => {
    expect(ANSWER_HEADERS.map((name) => name.toLowerCase())).toEqual([...ANSWER_HEADERS]);
    expect(new Set(ANSWER_HEADERS).size).toBe(ANSWER_HEADERS.length);
    for (const kept of ["x-isha-agent", "x-isha-started", "x-isha-code", "x-isha-token", "server"]) {
      expect(ANSWER_HEADERS as readonly string[]).not.toContain(kept);
    }
  });
});

describe("a decoder that remembers", () => {
  const call: Call = {
    requestId: "req_1",
    dialect: "chat",
    format: "openai",
    wantedPort: 9001,
    ports: [9001],
    fallbackPorts: [],
    stream: true,
    choices: 1,
    continuable: true,
    keyId: "k",
    scope: null,
    agentType: "Alpha",
    priority: "normal",
    concurrent: null,
    deadlineMs: 1000,
    set: {},
  };

  it("says what decodeCall says, of the first call of a kind and of the next ones", () => {
    const decode = rememberingDecoder(2);
    for (const more of [
      {},
      { requestId: "req_2" },
      { keyId: "j" },
      { concurrent: 5 },
      { scope: "s" },
      {},
      { set: { n_predict: 3 } },
    ]) {
      const headers = encodeCall({ ...call, ...more });
      expect(decode(headers)).toEqual(decodeCall(headers));
      expect(decode(headers)).toEqual(decodeCall(headers));
    }
  });

  it("takes no text for an absent header, no list for a text, and no rubbish for a request id", () => {
    const decode = rememberingDecoder(10);
    const headers = encodeCall(call);
    expect(decode(headers).ok).toBe(true);
    for (const bad of [
      { ...headers, "x-isha-concurrent": "undefined" },
      { ...headers, "x-isha-ports": ["9001"] },
      { ...headers, "x-isha-request-id": "two words" },
      { ...headers, "x-isha-request-id": undefined },
    ]) {
      expect(decode(bad)).toEqual(decodeCall(bad));
      expect(decode(bad).ok).toBe(false);
    }
  });
});
