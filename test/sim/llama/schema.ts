// Writes a JSON value that fits a schema: what a model that is held to the schema's grammar would answer. The same
// for the same prompt. Must not know of calls or dialects.
import { invalid } from "./errors.ts";
import type { ApiError } from "./errors.ts";
import { isBody } from "./params.ts";
import type { Body } from "./params.ts";
import { matching } from "./pattern.ts";
import { hash } from "./tokens.ts";

/** From this depth on, optional parts are left out and the flattest alternative is taken: recursion ends. */
const DEEP = 5;
/** A schema that must nest deeper than this has no end. */
const DEEPEST = 40;
/** Attempts to find an item that isn't in the list yet, if the items must differ. */
const ATTEMPTS = 40;
/** Items written out in a list, and characters in a text, whatever the bounds allow. */
const MOST = 100_000;

const FORMATS: Record<string, string> = {
  date: "2026-03-14",
  time: "09:26:53Z",
  "date-time": "2026-03-14T09:26:53Z",
  uuid: "3f2b8c1e-9a4d-4e6f-8b7a-1c2d3e4f5a6b",
  email: "simulated@example.com",
  uri: "https://example.com/simulated",
  hostname: "example.com",
  ipv4: "192.0.2.1",
  ipv6: "2001:db8::1",
  duration: "P1D",
};

/** An answer that is this program's own limit: a real llama-server could do it. */
export const simulatorLimit = (what: string): ApiError =>
  invalid(`This is the simulator's limit: ${what} A real llama-server can.`);

/** A value that fits `schema`; `about` decides which, and `topic` is what its texts speak of. */
export function fitting(schema: unknown, about: string, topic: string): unknown {
  if (isBody(schema) && Object.keys(schema).length === 0) {
    return { topic, answer: `A simulated answer about ${topic}.` };
  }
  return new Writer(schema, hash(about), topic).value(schema, 0);
}

class Writer {
  readonly #root: unknown;
  readonly #topic: string;
  #state: number;

  constructor(root: unknown, seed: number, topic: string) {
    this.#root = root;
    this.#topic = topic;
    this.#state = seed;
  }

  value(given: unknown, depth: number): unknown {
    if (depth > DEEPEST) throw simulatorLimit("It can't write a value for a schema without an end.");
    const schema = this.#settled(given, depth);
    if ("const" in schema) return schema["const"];
    if (Array.isArray(schema["enum"])) return this.#pick(schema["enum"]);
    switch (this.#type(schema, depth)) {
      case "object":
        return this.#object(schema, depth);
      case "array":
        return this.#array(schema, depth);
      case "integer":
        return this.#number(schema, true);
      case "number":
        return this.#number(schema, false);
      case "boolean":
        return this.#choose(2) === 0;
      case "null":
        return null;
      default:
        return this.#text(schema);
    }
  }

  /** The schema without references and alternatives. */
  #settled(given: unknown, depth: number): Body {
    let schema = isBody(given) ? given : {};
    for (let step = 0; step < DEEPEST; step += 1) {
      const { $ref, anyOf, oneOf, allOf, ...rest } = schema;
      const branches = Array.isArray(anyOf) ? anyOf : oneOf;
      if (typeof $ref === "string") schema = merged(schema, "$ref", this.#resolve($ref));
      else if (Array.isArray(allOf)) {
        schema = allOf.reduce((all: Body, part: unknown) => merge(all, this.#settled(part, depth)), {
          ...rest,
          ...(Array.isArray(branches) ? { anyOf: branches } : {}),
        });
      } else if (Array.isArray(branches) && branches.length > 0) {
        schema = merge(rest, this.#branch(branches, depth));
      } else return schema;
    }
    throw simulatorLimit("It can't write a value for a schema that refers to itself alone.");
  }

  #branch(branches: unknown[], depth: number): Body {
    if (depth < DEEP) return asBody(this.#pick(branches));
    const flat = branches.find((branch) => !this.#nests(branch));
    return asBody(flat ?? branches[0]);
  }

  #nests(branch: unknown): boolean {
    const schema = asBody(branch);
    if ("$ref" in schema || "anyOf" in schema || "oneOf" in schema || "allOf" in schema) return true;
    return ["object", "array"].includes(this.#type(schema, DEEP));
  }

  #resolve(ref: string): unknown {
    if (!ref.startsWith("#")) throw invalid(`JSON schema conversion failed:\nUnresolved $ref ${ref}`);
    let found: unknown = this.#root;
    for (const step of ref.slice(1).split("/").slice(1)) {
      const name = decodeURIComponent(step).replaceAll("~1", "/").replaceAll("~0", "~");
      found = isBody(found) || Array.isArray(found) ? (found as Body)[name] : undefined;
    }
    if (found === undefined) throw invalid(`JSON schema conversion failed:\nUnresolved $ref ${ref}`);
    return found;
  }

  #type(schema: Body, depth: number): string {
    const { type } = schema;
    if (Array.isArray(type)) {
      const flat = depth < DEEP ? type : type.filter((name) => name !== "object" && name !== "array");
      return String(this.#pick(flat.length > 0 ? flat : type));
    }
    if (typeof type === "string") return type;
    const has = (...names: string[]): boolean => names.some((name) => name in schema);
    if (has("properties", "required", "additionalProperties")) return "object";
    if (has("items", "prefixItems", "minItems", "maxItems")) return "array";
    return has("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
      ? "number"
      : "string";
  }

  #object(schema: Body, depth: number): Body {
    const properties = asBody(schema["properties"]);
    const required = new Set(Array.isArray(schema["required"]) ? schema["required"].map(String) : []);
    const more = schema["additionalProperties"];
    const value: Body = {};
    for (const [name, of] of Object.entries(properties)) {
      if (required.has(name) || (depth < DEEP && this.#choose(4) > 0))
        put(value, name, this.value(of, depth + 1));
    }
    for (const name of required)
      if (!Object.hasOwn(value, name)) put(value, name, this.value(more, depth + 1));
    const least = Math.min(bound(schema["minProperties"], isBody(more) && depth < DEEP ? 1 : 0), MOST);
    const missing = more === false ? 0 : least - Object.keys(value).length;
    for (let at = 1; at <= missing; at += 1) {
      put(value, `simulated${at}`, this.value(more, depth + 1));
    }
    return value;
  }

  #array(schema: Body, depth: number): unknown[] {
    const listed = Array.isArray(schema["items"]) ? schema["items"] : schema["prefixItems"];
    const first: unknown[] = Array.isArray(listed) ? listed : [];
    const rest = Array.isArray(schema["items"]) ? schema["additionalItems"] : schema["items"];
    const least = bound(schema["minItems"], 0);
    const most = Math.min(bound(schema["maxItems"], MOST), MOST);
    const wanted = depth < DEEP && rest !== false ? first.length + this.#choose(3) : first.length;
    const count = Math.max(least, Math.min(most, Math.max(wanted, first.length)));
    const items: unknown[] = [];
    const seen = new Set<string>();
    for (let at = 0, tries = 0; items.length < count && tries < count + ATTEMPTS; tries += 1) {
      const item = this.value(first[at] ?? rest, depth + 1);
      const key = JSON.stringify(item);
      if (schema["uniqueItems"] === true && seen.has(key)) continue;
      seen.add(key);
      items.push(item);
      at += 1;
    }
    return items;
  }

  #number(schema: Body, whole: boolean): number {
    const step = typeof schema["multipleOf"] === "number" ? schema["multipleOf"] : whole ? 1 : 0;
    const above = bound(schema["exclusiveMinimum"], -Infinity);
    const below = bound(schema["exclusiveMaximum"], Infinity);
    const low = Math.max(bound(schema["minimum"], -Infinity), above);
    const high = Math.min(bound(schema["maximum"], Infinity), below);
    const start = Number.isFinite(low) ? low : Number.isFinite(high) ? high - 10 : 1;
    const end = Number.isFinite(high) ? high : start + 10;
    if (step > 0) {
      const firstStep = Math.ceil(start / step) + (Math.ceil(start / step) * step === above ? 1 : 0);
      const lastStep = Math.floor(end / step) - (Math.floor(end / step) * step === below ? 1 : 0);
      return (firstStep + this.#choose(Math.min(10, Math.max(1, lastStep - firstStep + 1)))) * step;
    }
    const share = (1 + this.#choose(8)) / 10;
    const number = start + (end - start) * share;
    const rounded = Math.round(number * 10) / 10;
    return rounded > start && rounded < end ? rounded : number;
  }

  #text(schema: Body): string {
    const least = Math.min(bound(schema["minLength"], 0), MOST);
    const most = bound(schema["maxLength"], MOST);
    const sized = (text: string): string => {
      const signs = Array.from(text.padEnd(least, ` ${this.#topic}`)).slice(0, most);
      return signs.join("");
    };
    const { pattern, format } = schema;
    const known = typeof format === "string" ? FORMATS[format] : undefined;
    const words = ["simulated", "for now", "to be checked"];
    const plain = sized(known ?? `${this.#topic} (${String(this.#pick(words))})`);
    if (typeof pattern !== "string" || matches(pattern, plain)) return plain;
    return matching(pattern, (of) => this.#choose(of)) ?? plain;
  }

  #pick(list: readonly unknown[]): unknown {
    return list[this.#choose(list.length)];
  }

  /** A number from 0 below `of`, by Numerical Recipes' linear congruence. */
  #choose(of: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return of > 1 ? (this.#state >>> 8) % of : 0;
  }
}

const asBody = (value: unknown): Body => (isBody(value) ? value : {});

const bound = (value: unknown, otherwise: number): number => (typeof value === "number" ? value : otherwise);

/** Sets a member even if its name is `__proto__`. */
function put(value: Body, name: string, member: unknown): void {
  Object.defineProperty(value, name, { value: member, enumerable: true, configurable: true, writable: true });
}

function merged(schema: Body, without: string, more: unknown): Body {
  const rest = Object.fromEntries(Object.entries(schema).filter(([name]) => name !== without));
  return merge(rest, asBody(more));
}

/** Both schemas at once, as far as objects are concerned. */
function merge(a: Body, b: Body): Body {
  const properties = { ...asBody(a["properties"]), ...asBody(b["properties"]) };
  const required = [a["required"], b["required"]].flatMap((names) => (Array.isArray(names) ? names : []));
  return {
    ...a,
    ...b,
    ...(Object.keys(properties).length > 0 ? { properties } : {}),
    ...(required.length > 0 ? { required } : {}),
  };
}

function matches(pattern: string, text: string): boolean {
  try {
    return new RegExp(pattern, "u").test(text);
  } catch {
    return true;
  }
}

const TYPES = new Set(["string", "number", "integer", "boolean", "null", "object", "array"]);

/** The first unknown type in a schema and its path; null for a valid schema. */
export function unknownType(schema: unknown, path = "#"): { path: string; type: string } | null {
  if (!isBody(schema)) return null;
  const { type } = schema;
  for (const name of Array.isArray(type) ? type : [type]) {
    if (typeof name === "string" && !TYPES.has(name)) return { path, type: name };
  }
  for (const [name, of] of Object.entries(asBody(schema["properties"]))) {
    const found = unknownType(of, `${path}/properties/${name}`);
    if (found) return found;
  }
  return "items" in schema ? unknownType(schema["items"], `${path}/items`) : null;
}
