import { describe, expect, it, onTestFinished, vi } from "vitest";
import { MAX_BODY_DEPTH, MAX_BODY_VALUES } from "../../../shared/limits.ts";
import { ERRORS, type Refusal, type Result } from "../../../shared/errors.ts";
import { parseJsonObject, readBody as readLimited } from "../../../worker/http/json-body.ts";
import { jsonFault } from "../../../worker/http/json-fault.ts";
import { seeded } from "../support/random.ts";
import { streamOf } from "../support/origin.ts";
import { untilHolds } from "../support/until.ts";

/** The limit on size in these tests. */
const MAX_BODY_BYTES = 1024 * 1024;

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
/** Field names that a refusal may contain. */
const NAMES = new Set(["a", "messages", "temperature", "tools"]);
const parse = (text: string): Result<unknown> => parseJsonObject(utf8(text), NAMES);

function refusal(result: Result<unknown>): Refusal {
  if (result.ok) throw new Error("it was not refused");
  return result.refusal;
}

function post(body: BodyInit | null, headers: Record<string, string> = {}): Request {
  return new Request("http://edge.example/", {
    method: "POST",
    body,
    headers: { "content-type": "application/json", ...headers },
  });
}

const readBody = async (request: Request, limits = {}) =>
  readLimited(request, { maxBytes: MAX_BODY_BYTES, ...limits });

describe("readBody", () => {
  it.each([
    "application/json",
    "application/json; charset=utf-8",
    "Application/JSON",
    "application/json ;x=y",
  ])("accepts the content type %s", async (type) => {
    expect(await readBody(post("{}", { "content-type": type }))).toEqual({ ok: true, value: utf8("{}") });
  });

  it.each(["text/plain", "application/jsonl", "application/x-www-form-urlencoded", "text/json", "json", ""])(
    "refuses the content type '%s'",
    async (type) => {
      const refused = refusal(await readBody(post("{}", { "content-type": type })));
      expect(refused.code).toBe("unsupported_media_type");
      expect(refused.message).toContain("application/json");
    },
  );

  it("refuses a body without a content type", async () => {
    const request = new Request("http://edge.example/", { method: "POST", body: utf8("{}") });
    expect(request.headers.get("content-type")).toBeNull();
    expect(refusal(await readBody(request)).code).toBe("unsupported_media_type");
  });

  it.each(["gzip", "br", "deflate", "zstd", "identity, gzip"])(
    "refuses the encoding %s",
    async (encoding) => {
      expect(refusal(await readBody(post("{}", { "content-encoding": encoding }))).code).toBe(
        "unsupported_media_type",
      );
    },
  );

  it.each(["identity", "Identity"])("accepts the encoding %s", async (encoding) => {
    expect((await readBody(post("{}", { "content-encoding": encoding }))).ok).toBe(true);
  });

  it("refuses a declared length over the limit without reading", async () => {
    let reads = 0;
    const body = new ReadableStream(
      {
        pull(controller) {
          reads += 1;
          controller.enqueue(utf8("x"));
        },
      },
      { highWaterMark: 0 },
    );
    const refused = refusal(await readBody(post(body, { "content-length": String(MAX_BODY_BYTES + 1) })));
    expect(refused.code).toBe("body_too_large");
    expect(reads).toBe(0);
  });

  it("accepts a body of exactly the limit, declared or in chunks", async () => {
    const bytes = new Uint8Array(MAX_BODY_BYTES);
    const declared = await readBody(post(bytes, { "content-length": String(bytes.length) }));
    expect(declared.ok && declared.value.length).toBe(MAX_BODY_BYTES);
    const chunked = await readBody(post(streamOf([bytes.subarray(0, 9), bytes.subarray(9)])));
    expect(chunked.ok && chunked.value.length).toBe(MAX_BODY_BYTES);
  });

  it("stops reading a body in chunks once it is over the limit", async () => {
    const chunk = new Uint8Array(64 * 1024);
    let pulled = 0;
    let cancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled += chunk.length;
        controller.enqueue(chunk);
      },
      cancel() {
        cancelled = true;
      },
    });
    expect(refusal(await readBody(post(endless))).code).toBe("body_too_large");
    expect(pulled).toBeLessThanOrEqual(MAX_BODY_BYTES + 4 * chunk.length);
    expect(cancelled).toBe(true);
  });

  it.each<[string, () => Request]>([
    ["a declared length", () => post("12345", { "content-length": "5" })],
    ["chunks", () => post(streamOf(["123", "45"]))],
  ])("refuses a body without room in memory as overloaded: %s", async (_, request) => {
    let left = 4;
    const grow = (bytes: number): boolean => (left -= bytes) >= 0;
    expect(refusal(await readBody(request(), { grow }))).toMatchObject({
      code: "overloaded",
      retryAfterMs: 1_000,
    });
    left = 5;
    expect((await readBody(request(), { grow })).ok).toBe(true);
  });

  it("joins chunks in order", async () => {
    const body = await readBody(
      post(streamOf(['{"a', '":"', new Uint8Array([0xc3]), new Uint8Array([0xa9]), '"}'])),
    );
    expect(body).toEqual({ ok: true, value: utf8('{"a":"é"}') });
  });

  it.each<[string, () => BodyInit | null]>([
    ["no body", () => null],
    ["a body of no bytes", () => ""],
    ["a stream of no bytes", () => streamOf([])],
  ])("refuses %s as empty", async (_, body) => {
    const refused = refusal(await readBody(post(body())));
    expect(refused.code).toBe("invalid_json");
    expect(refused.message).toContain("empty");
  });

  it("refuses a body that ends early, and throws nothing", async () => {
    const refused = refusal(await readBody(post(streamOf(['{"messages":'], "breaks"))));
    expect(refused.code).toBe("invalid_json");
    expect(refused.message).not.toContain("tunnel");
  });
});

describe("a body that doesn't arrive", () => {
  const TIMEOUT_MS = 20;
  const read = async (request: Request) =>
    readBody(request, { maxBytes: MAX_BODY_BYTES, timeoutMs: TIMEOUT_MS });

  it("is a 408 that may be retried, and is cancelled, although single bytes arrive", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    let sendByte = (): void => undefined;
    let isCancelled = false;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => void (sendByte = () => controller.enqueue(utf8("{"))),
      cancel: () => void (isCancelled = true),
    });
    let result: Result<Uint8Array> | null = null;
    const reading = read(post(body)).then((read) => (result = read));
    for (let ms = 1; ms < TIMEOUT_MS; ms += 1) {
      sendByte();
      await vi.advanceTimersByTimeAsync(1);
    }
    expect(result).toBeNull();
    await vi.advanceTimersByTimeAsync(1);
    const { code, message } = refusal(await reading);
    expect([code, ERRORS[code].status, ERRORS[code].retry]).toEqual(["request_timeout", 408, "any"]);
    expect(message).toContain("within 0.02 s");
    await untilHolds(() => expect(isCancelled).toBe(true));
  });

  it("is a 408 too if its length was declared", async () => {
    const { readable, writable } = new FixedLengthStream(1_000);
    const writer = writable.getWriter();
    const writing = writer.write(utf8("{"));
    const request = post(readable, { "content-length": "1000" });
    expect(refusal(await read(request)).code).toBe("request_timeout");
    await writing;
  });

  it("and fails when it is cancelled throws nothing", async () => {
    const broken = new ReadableStream<Uint8Array>({
      cancel: () => Promise.reject(new Error("the tunnel broke")),
    });
    expect(refusal(await read(post(broken))).code).toBe("request_timeout");
  });

  it("leaves no timer after it arrived or failed", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    for (const body of ["{}", streamOf(["{", "}"]), streamOf(["{"], "breaks")]) {
      await readBody(post(body));
      expect(vi.getTimerCount()).toBe(0);
    }
    await readBody(post("{}", { "content-length": "2" }));
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("parseJsonObject", () => {
  it.each<[string, string]>([
    ["no JSON", "patient complains of"],
    ["truncated JSON", '{"messages": [{"role": "user", "content": "chest pa'],
    ["two objects", '{"a":1}{"b":2}'],
    ["a trailing comma", '{"a":1,}'],
    ["single quotes", "{'a':1}"],
    ["a comment", '{"a":1} // b'],
    ["NaN", '{"a":NaN}'],
    ["Infinity", '{"a":Infinity}'],
    ["a raw control character in a text", '{"a":"\n"}'],
    ["only blanks", "   "],
    ["an array", '[{"role":"user"}]'],
    ["null", "null"],
    ["a number", "5"],
    ["a text", '"hello"'],
    ["a byte-order mark", '\ufeff{"a":1}'],
  ])("refuses %s without repeating it", (_, text) => {
    const refused = refusal(parse(text));
    expect(refused.code).toBe("invalid_json");
    expect(refused.message).not.toMatch(/patient|chest|role|hello/);
  });

  it.each([
    ["{", 1, 2],
    ['{"a":1,}', 1, 8],
    ['{"a" 1}', 1, 6],
    ["{'a':1}", 1, 2],
    ['{"a":1 "b":2}', 1, 8],
    ['{\n  "a": [1, 2\n}', 3, 1],
    ['{"a":"x\ny"}', 1, 8],
    ['{"a":"\\x"}', 1, 7],
    ['{"a":"\\u12"}', 1, 7],
    ['{"a":01}', 1, 7],
    ['{"a":+1}', 1, 6],
    ['{"a":.5}', 1, 6],
    ['{"a":tru}', 1, 6],
    ['{"a":1}}', 1, 8],
    ['{"a":1}\n{"b":2}', 2, 1],
    ["", 1, 1],
    ['{"a":[1,]}', 1, 9],
    ['{"a":"open', 1, 11],
  ])("names the place of the fault in %j", (text, line, column) => {
    expect(jsonFault(text)).toEqual({ line, column });
  });

  it("finds a fault exactly if the engine's parser refuses the text (seeded)", () => {
    const random = seeded(17);
    const valid = '{"a":[1,-2.5e3,true,null,"x\\u00e9\\n"],"b":{"c":{},"d":[]}}';
    for (let round = 0; round < 3_000; round += 1) {
      const at = random.integer(0, valid.length - 1);
      const other = valid[random.integer(0, valid.length - 1)] ?? "";
      const cut = random.integer(0, 1);
      const text = valid.slice(0, at) + other + valid.slice(at + cut);
      let isValid = true;
      try {
        JSON.parse(text);
      } catch {
        isValid = false;
      }
      const { column } = jsonFault(text);
      if (isValid) expect(column, text).toBe(text.length + 1);
      else expect(column, text).toBeLessThanOrEqual(text.length + 1);
      // What follows the fault doesn't move it.
      if (column <= text.length) expect(jsonFault(text + " ").column, text).toBe(column);
    }
  });

  it.each<[string, number[]]>([
    ["a lone continuation byte", [0x80]],
    ["a truncated sequence", [0xe2, 0x82]],
    ["an overlong form", [0xc0, 0xaf]],
    ["half of a surrogate pair in bytes", [0xed, 0xa0, 0x80]],
    ["a code point past the last", [0xf5, 0x80, 0x80, 0x80]],
    ["UTF-16", [0xff, 0xfe, 0x7b, 0x00]],
  ])("refuses %s as invalid UTF-8", (_, bytes) => {
    const refused = refusal(
      parseJsonObject(new Uint8Array([...utf8('{"a":"'), ...bytes, ...utf8('"}')]), NAMES),
    );
    expect(refused.code).toBe("invalid_json");
    expect(refused.message).toContain("UTF-8");
  });

  it.each(["1e400", "-1e400", "1e999999", "123456789e400"])(
    "refuses the number %s with its field",
    (number) => {
      expect(refusal(parse(`{"temperature":${number}}`))).toMatchObject({
        code: "invalid_request",
        param: "temperature",
      });
      expect(refusal(parse(`{"tools":[{"a":[1,${number}]}]}`)).param).toBe("tools[0].a[1]");
    },
  );

  it("accepts the largest and the smallest numbers", () => {
    expect(parse('{"a":1.7976931348623157e308,"b":-1.7e308,"c":5e-324,"d":1e-400}').ok).toBe(true);
  });

  it.each<[string, string]>([
    ["the first half in a value", '{"a":{"text":"x\\ud83d"}}'],
    ["the first half in upper case", '{"a":{"text":"\\uD83D!"}}'],
    ["the second half", '{"a":{"text":"\\ude00"}}'],
    ["the halves in the wrong order", '{"a":{"text":"\\ude00\\ud83d"}}'],
    ["a half deep in lists", '{"a":[[["ok","\\udfff"]]]}'],
    ["a half in a key", '{"a":{"\\ud800":1}}'],
  ])("refuses half of a surrogate pair: %s", (_, text) => {
    const refused = refusal(parse(text));
    expect(refused.code).toBe("invalid_request");
    expect(refused.param).toMatch(/^a\b/);
  });

  it("refuses half of a surrogate pair in a top-level key, without a field", () => {
    const refused = refusal(parse('{"\\udc00":1}'));
    expect(refused.code).toBe("invalid_request");
    expect(refused.param ?? "").toBe("");
  });

  it.each([
    '{"a":"\\ud83d\\ude00"}',
    '{"\\ud83d\\ude00":1}',
    '{"a":"\\\\ud83d"}',
    '{"a":"😀 \\u00e9 \\u0000"}',
  ])("accepts complete pairs, and texts that only look like half of one: %s", (text) => {
    expect(parse(text)).toEqual({ ok: true, value: JSON.parse(text) });
  });

  it("accepts the allowed depth and refuses one level more, in objects and in arrays", () => {
    const arrays = (depth: number): string => `{"a":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;
    const objects = (depth: number): string => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
    for (const nested of [arrays, objects]) {
      expect(parse(nested(MAX_BODY_DEPTH)).ok).toBe(true);
      const refused = refusal(parse(nested(MAX_BODY_DEPTH + 1)));
      expect(refused).toMatchObject({ code: "invalid_request" });
      expect(refused.param).toMatch(/^a\b/);
      expect(refused.param?.length).toBeLessThan(100);
      expect(refused.message).toContain(String(MAX_BODY_DEPTH));
    }
  });

  it("accepts the allowed number of values and refuses one more, however they are nested", () => {
    const list = (values: number): string => `[${Array.from({ length: values }, () => "0").join()}]`;
    expect(parse(`{"a":${list(MAX_BODY_VALUES - 1)}}`).ok).toBe(true);
    const half = MAX_BODY_VALUES / 2;
    for (const body of [`{"a":${list(MAX_BODY_VALUES)}}`, `{"a":{"b":${list(half)},"c":[${list(half)}]}}`]) {
      const refused = refusal(parse(body));
      expect(refused).toMatchObject({ code: "invalid_request" });
      expect(refused.message).toContain(String(MAX_BODY_VALUES));
    }
  });

  it("handles the deepest body that fits the size limit", () => {
    const half = Math.floor(MAX_BODY_BYTES / 2) - 10;
    expect(refusal(parse(`{"a":${"[".repeat(half)}${"]".repeat(half)}}`)).code).toMatch(/^invalid_/);
    expect(refusal(parse(`{"a":${"[".repeat(half)}`)).code).toBe("invalid_json");
  });

  it("treats keys that JavaScript knows as ordinary ones", () => {
    const parsed = parse('{"__proto__":{"x":1},"constructor":2,"toString":3}');
    expect(parsed.ok && Object.keys(parsed.value as object)).toEqual([
      "__proto__",
      "constructor",
      "toString",
    ]);
    expect(refusal(parse('{"__proto__":{"x":1e400}}')).code).toBe("invalid_request");
  });

  it("repeats no key that is not one of our field names", () => {
    for (const key of ["Jane Doe, born 1970", "JaneDoe", "__proto__", "x".repeat(10_000)]) {
      for (const body of [`{"${key}":{"a":1e400}}`, `{"a":{"${key}":1e400}}`, `{"${key}":"\\ud800"}`])
        expect(JSON.stringify(refusal(parse(body)))).not.toContain(key);
    }
  });
});
