import { describe, expect, it } from "vitest";
import { spliceFields } from "../../../origin-agent/calls/body-fields.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";

const CHARACTERS = Array.from('aé漢😀"\\{}[],: \n\u0000');
/** Without quote and backslash: V8 13.6 (Node 24) confuses a quote key with an earlier backslash key. */
const NAME_CHARACTERS = CHARACTERS.filter((character) => character !== '"' && character !== "\\");
const SPACES = [" ", "\t", "\n", "\r"];

function spliced(body: string, fields: Record<string, unknown>): string | null {
  return spliceFields(Buffer.from(body), fields)?.toString("utf8") ?? null;
}

function randomValue(random: SeededRandom, depth: number): unknown {
  switch (random.below(depth > 0 ? 7 : 5)) {
    case 0:
      return random.text(random.below(8), CHARACTERS);
    case 1:
      return random.below(1000) - 500.5;
    case 2:
      return random.chance(0.5);
    case 3:
      return null;
    case 4:
      return random.pick([[], {}, "}", "{", "{}", ","]);
    case 5:
      return Array.from({ length: random.below(4) }, () => randomValue(random, depth - 1));
    default:
      return randomObject(random, depth - 1);
  }
}

function randomObject(random: SeededRandom, depth: number): Record<string, unknown> {
  const names = Array.from({ length: random.below(5) }, () =>
    random.text(1 + random.below(4), NAME_CHARACTERS),
  );
  return Object.fromEntries(names.map((name) => [name, randomValue(random, depth)]));
}

/** The object as JSON, with spaces everywhere JSON allows them. */
function spacedJson(random: SeededRandom, value: unknown): string {
  const space = (): string => random.text(random.below(3), SPACES);
  const tokens = JSON.stringify(value).match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^{}[\],:"]+/g) ?? [];
  return space() + tokens.map((token) => token + space()).join("");
}

describe("fields spliced into a body", () => {
  it.each(SEEDS)("come last and leave the rest unchanged, byte for byte (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    for (let round = 0; round < 50; round += 1) {
      const object = randomObject(random, 3);
      const fields = { ...randomObject(random, 2), n_predict: 7 };
      const body = spacedJson(random, object);
      const after = spliced(body, fields) ?? "";
      expect(JSON.parse(after)).toEqual({ ...object, ...fields });
      expect(Object.keys(JSON.parse(after) as object)).toEqual(Object.keys({ ...object, ...fields }));
      expect(after.startsWith(body.trimEnd().slice(0, -1))).toBe(true);
    }
  });

  it("override the client's own, because the last of two equal keys wins", () => {
    const after = spliced('{"n_predict":4096,"id_slot":3,"a":1}', { n_predict: 5, id_slot: -1 }) ?? "";
    expect(after).toBe('{"n_predict":4096,"id_slot":3,"a":1,"n_predict":5,"id_slot":-1}');
    expect(JSON.parse(after)).toEqual({ n_predict: 5, id_slot: -1, a: 1 });
  });

  it.each([
    ["{}", '{"a":1}'],
    [" { } ", ' { "a":1}'],
    ["{\r\n\t}\n", '{\r\n\t"a":1}'],
    ['{"b":{}}', '{"b":{},"a":1}'],
    ['{"b":{ } } \n', '{"b":{ } ,"a":1}'],
    ['{"b":"{"}', '{"b":"{","a":1}'],
  ])("need a comma only after another field: %j", (body, after) => {
    expect(spliced(body, { a: 1 })).toBe(after);
  });

  it("leave the body unchanged if there are none", () => {
    expect(spliced(' {"b":1} ', {})).toBe(' {"b":1} ');
  });
});

describe("a body that doesn't end like an object", () => {
  it.each([
    "",
    " ",
    "}",
    " }",
    "[]",
    '["{}"]',
    "null",
    "12",
    '"}"',
    '{"a":1',
    '{"a":1}x',
    '{"a":1}\u00a0',
    "{",
  ])("is refused: %j", (body) => {
    expect(spliced(body, { a: 1 })).toBeNull();
  });
});
