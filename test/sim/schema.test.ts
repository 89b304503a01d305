// A value that is written for a schema fits it: hand-written schemas of the kinds that SDKs send, and seeded random
// ones, checked by a validator that knows nothing of the writer.
import { Validator } from "@cfworker/json-schema";
import { describe, expect, it, test } from "vitest";
import { z } from "zod";
import { SeededRandom, SEEDS } from "../support/seeded-random.ts";
import { fitting } from "./llama/schema.ts";

type Schema = Record<string, unknown> | boolean;

function expectFit(schema: Schema, about = "a prompt"): unknown {
  const value: unknown = JSON.parse(JSON.stringify(fitting(schema, about, "chest pain")));
  const { valid, errors } = new Validator(schema, "2020-12").validate(value);
  expect(valid, JSON.stringify({ schema, value, errors })).toBe(true);
  return value;
}

const NODE = {
  type: "object",
  properties: { name: { type: "string" }, parts: { type: "array", items: { $ref: "#/$defs/node" } } },
  required: ["name", "parts"],
  additionalProperties: false,
};

const SCHEMAS: Record<string, Schema> = {
  "an object with bounds": {
    type: "object",
    properties: {
      age: { type: "integer", minimum: 18, exclusiveMaximum: 20 },
      share: { type: "number", exclusiveMinimum: 0, maximum: 0.25 },
      dose: { type: "number", multipleOf: 2.5, minimum: 1 },
      code: { type: "string", minLength: 12, maxLength: 12 },
    },
    required: ["age", "share", "dose", "code"],
    additionalProperties: false,
  },
  "lists with bounds": {
    type: "object",
    properties: {
      three: { type: "array", items: { enum: ["a", "b", "c"] }, minItems: 3, maxItems: 3, uniqueItems: true },
      none: { type: "array", maxItems: 0 },
      pair: { type: "array", prefixItems: [{ type: "string" }, { type: "null" }], items: false },
    },
    required: ["three", "none", "pair"],
  },
  "a tree": { $ref: "#/$defs/node", $defs: { node: NODE } },
  "a list that may end": {
    $defs: {
      link: {
        type: "object",
        properties: { next: { anyOf: [{ $ref: "#/$defs/link" }, { type: "null" }] } },
        required: ["next"],
      },
    },
    $ref: "#/$defs/link",
  },
  "all of two": {
    allOf: [
      { type: "object", properties: { a: { const: 1 } }, required: ["a"] },
      { type: "object", properties: { b: { type: ["string", "null"] } }, required: ["b"] },
    ],
  },
  "a record": { type: "object", additionalProperties: { type: "boolean" }, minProperties: 2 },
  "a pattern": { type: "string", pattern: "^(?:ICD|SNOMED)-[A-Z]\\d{2,3}(\\.\\d+)?$" },
  "a name that is special": { type: "object", properties: { ["__proto__"]: true }, required: ["__proto__"] },
  anything: {},
};

test.each(Object.entries(SCHEMAS))("%s", (_, schema) => {
  for (const about of ["one prompt", "another", "a third"]) expectFit(schema, about);
});

test("a schema that zod writes for an SDK", () => {
  const visit = z.object({
    patient: z.object({ name: z.string().min(3), email: z.email(), born: z.iso.date() }),
    urgency: z.enum(["low", "high"]),
    findings: z.array(z.object({ code: z.string().regex(/^[A-Z]\d{2}$/), sure: z.boolean() })).min(1),
    cost: z.number().positive().nullable(),
    next: z.union([z.literal("none"), z.object({ days: z.int().min(1).max(30) })]),
  });
  const schema = z.toJSONSchema(visit);
  const value = expectFit(schema);
  expect(() => visit.parse(value)).not.toThrow();
});

test("the same prompt gets the same value; another may get another", () => {
  const schema = {
    type: "object",
    properties: { a: { type: "integer", minimum: 0, maximum: 9 } },
    required: ["a"],
  };
  const of = (about: string): string => JSON.stringify(fitting(schema, about, "x"));
  expect(of("a")).toBe(of("a"));
  expect(new Set(Array.from({ length: 20 }, (_, at) => of(`prompt ${at}`))).size).toBeGreaterThan(1);
});

test("a reference that leads nowhere is refused as by llama-server; one without an end as our limit", () => {
  expect(() => fitting({ $ref: "#/$defs/none" }, "", "")).toThrow("Unresolved $ref #/$defs/none");
  const endless = { type: "object", properties: { a: { $ref: "#" } }, required: ["a"] };
  expect(() => fitting(endless, "", "")).toThrow("This is the simulator's limit");
});

describe("random schemas", () => {
  it.each(SEEDS)("seed %i", (seed) => {
    const random = new SeededRandom(seed);
    for (let round = 0; round < 40; round += 1) expectFit(randomSchema(random, 0), `prompt ${round}`);
  });
});

/** A schema that some value fits. */
function randomSchema(random: SeededRandom, depth: number): Record<string, unknown> {
  const inner = (): Record<string, unknown> => randomSchema(random, depth + 1);
  const flat = [randomNumber, randomText, randomList, () => ({ type: random.pick(["boolean", "null"]) })];
  const nested = [randomObject, randomArray, randomUnion, randomUnion];
  const kinds = depth < 3 ? [...flat, ...nested] : flat;
  return random.pick(kinds)(random, inner);
}

type Kind = (random: SeededRandom, inner: () => Record<string, unknown>) => Record<string, unknown>;

const randomNumber: Kind = (random) => {
  const whole = random.chance(0.5);
  const low = random.below(40) - 20;
  const bounds = random.pick([{}, { minimum: low }, { maximum: low }, { minimum: low, maximum: low + 3 }]);
  const open = random.pick([{}, { exclusiveMinimum: low, exclusiveMaximum: low + 3 }]);
  return { type: whole ? "integer" : "number", ...(random.chance(0.5) ? bounds : open) };
};

const randomText: Kind = (random) => {
  const least = random.below(30);
  const sized = random.pick([
    {},
    { minLength: least },
    { maxLength: least },
    { minLength: least, maxLength: least },
  ]);
  const pattern = random.pick(["^[a-f0-9]{8}$", "^\\d{3}-\\w+$", "^(mon|tue|wed)(day)?$", "^x.y?z*$"]);
  return { type: "string", ...(random.chance(0.3) ? { pattern } : sized) };
};

const randomList: Kind = (random) =>
  random.pick<Record<string, unknown>>([
    { enum: ["a", 2, null, { b: [1] }] },
    { const: { x: "y" } },
    { type: ["string", "null"] },
    { type: "string", enum: ["mon", "tue"] },
  ]);

const randomObject: Kind = (random, inner) => {
  const names = ["a", "b", "a b", "ä/~", "d"].slice(0, 1 + random.below(5));
  const properties = Object.fromEntries(names.map((name) => [name, inner()]));
  const required = names.filter(() => random.chance(0.5));
  const more = random.pick([{}, { additionalProperties: false }, { additionalProperties: inner() }]);
  return { type: "object", properties, required, ...more };
};

const randomArray: Kind = (random, inner) => {
  const least = random.below(4);
  return {
    type: "array",
    items: inner(),
    minItems: least,
    ...(random.chance(0.5) ? { maxItems: least + 1 } : {}),
  };
};

/** `oneOf` with kinds that exclude each other, `anyOf` with whatever. */
const randomUnion: Kind = (random, inner) =>
  random.chance(0.5)
    ? { anyOf: [inner(), inner()] }
    : {
        oneOf: [
          { type: "object", properties: { a: inner() } },
          { type: "array", items: inner() },
          randomText(random, inner),
        ],
      };
