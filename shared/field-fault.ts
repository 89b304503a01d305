// Describes an invalid field to a client: `n: must be at least 1; got 0`. Numbers, booleans, types and lengths are
// repeated; a client's own texts never are, since they can be part of a prompt.
import type * as z from "zod/mini";

type Issue = z.core.$ZodIssue;

export interface FieldFault {
  readonly path: readonly PropertyKey[];
  /** Without the path and without a full stop. */
  readonly message: string;
}

/** @param input the value that the schema rejected */
export function fieldFault(issue: Issue, input: unknown): FieldFault {
  const { path, ...fault } = deepest(issue);
  const value = valueAt(input, path);
  if (value === undefined) return { path, message: "is missing" };
  return { path, message: messageOf({ ...fault, path }, value) };
}

/** An issue of a union names no cause; those of its branches do. */
function deepest(issue: Issue): Issue {
  if (issue.code !== "invalid_union" || issue.errors.length === 0 || isOurs(issue.message)) return issue;
  const branches = issue.errors.flatMap((branch) => branch.slice(0, 1)).map(deepest);
  // A branch that accepted the type has the real cause; of several branches, the one with the longest path.
  const inside = branches.filter((branch) => branch.path.length > 0 || branch.code !== "invalid_type");
  const [first] = inside.toSorted((a, b) => b.path.length - a.path.length);
  if (first !== undefined) return { ...first, path: [...issue.path, ...first.path] };
  const types = branches.flatMap((branch) => (branch.code === "invalid_type" ? [branch.expected] : []));
  return { ...issue, code: "invalid_type", expected: types.map(article).join(" or ") as "object" };
}

function messageOf(issue: Issue, value: unknown): string {
  if (isOurs(issue.message))
    return typeof value === "number" ? `${issue.message}; got ${value}` : issue.message;
  switch (issue.code) {
    case "invalid_type":
      return `must be ${article(issue.expected)}; got ${typeText(value)}`;
    case "invalid_value":
      return oneOf(issue.values, value);
    case "invalid_union":
      return oneOf("options" in issue ? (issue.options ?? []) : [], value);
    case "too_small":
      return Number(issue.minimum) === 1 && sizeOf(value) === 0
        ? "must not be empty"
        : bound(`at least ${issue.minimum}`, issue.origin, value);
    case "too_big":
      return bound(`at most ${issue.maximum}`, issue.origin, value);
    case "unrecognized_keys":
      return "is not a known field";
    default:
      return "is invalid";
  }
}

/** Whether a schema of ours sets this message; zod's own begin with a capital letter. */
const isOurs = (message: string): boolean => /^[a-z]/.test(message);

function oneOf(values: readonly unknown[], value: unknown): string {
  const got = typeof value === "string" ? "" : `; got ${typeText(value)}`;
  return `must be one of ${values.map(String).join(", ")}${got}`;
}

function bound(limit: string, origin: string, value: unknown): string {
  // A number of a query is a text.
  if (origin === "number" || origin === "int") return `must be ${limit}; got ${Number(value)}`;
  const unit = origin === "string" ? "characters" : "entries";
  return `must have ${limit} ${unit}; got ${sizeOf(value)}`;
}

function sizeOf(value: unknown): number | null {
  return typeof value === "string" || Array.isArray(value) ? value.length : null;
}

function article(type: string): string {
  if (type === "int") return "an integer";
  if (type === "record") return "an object";
  if (type.includes(" ")) return type;
  return /^[aeio]/.test(type) ? `an ${type}` : `a ${type}`;
}

function typeText(value: unknown): string {
  if (value === null || typeof value === "number" || typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : `an array of ${value.length}`;
  if (typeof value === "string") return value === "" ? "an empty string" : "a string";
  return article(typeof value);
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      typeof value === "object" && value !== null
        ? (value as Readonly<Record<PropertyKey, unknown>>)[key]
        : undefined,
    input,
  );
}
