import { describe, expect, it } from "vitest";
import * as z from "zod";
import { fieldPath } from "../../shared/fleet.ts";
import { fieldFault } from "../../shared/field-fault.ts";

const schema = z.strictObject({
  count: z.int().min(1).max(9).optional(),
  page: z.coerce.number().int().min(1).optional(),
  name: z.string().min(2).max(4).optional(),
  list: z.array(z.string()).min(1).max(2).optional(),
  kind: z.enum(["a", "b"]).optional(),
  mixed: z.union([z.boolean(), z.array(z.strictObject({ x: z.string() }))]).optional(),
  id: z.string().regex(/^\d+$/, "must be digits").optional(),
  date: z.iso.date().optional(),
});

const faultsOf = (input: unknown): string[] => {
  const parsed = schema.safeParse(input);
  return (parsed.error?.issues ?? []).map((issue) => {
    const { path, message } = fieldFault(issue, input);
    return `${path.length === 0 ? "" : `${fieldPath(path)}: `}${message}`;
  });
};

describe("a field's fault", () => {
  it.each<[unknown, string]>([
    [{ count: 0 }, "count: must be at least 1; got 0"],
    [{ count: 10 }, "count: must be at most 9; got 10"],
    [{ count: 1.5 }, "count: must be an integer; got 1.5"],
    [{ count: true }, "count: must be a number; got true"],
    [{ page: "0" }, "page: must be at least 1; got 0"],
    [{ name: "" }, "name: must have at least 2 characters; got 0"],
    [{ name: "Jane Doe" }, "name: must have at most 4 characters; got 8"],
    [{ name: null }, "name: must be a string; got null"],
    [{ name: {} }, "name: must be a string; got an object"],
    [{ list: [] }, "list: must not be empty"],
    [{ list: ["x", "y", "z"] }, "list: must have at most 2 entries; got 3"],
    [{ count: "" }, "count: must be a number; got an empty string"],
    [{ list: ["x", ["y"]] }, "list[1]: must be a string; got an array of 1"],
    [{ kind: "Jane Doe" }, "kind: must be one of a, b"],
    [{ kind: 7 }, "kind: must be one of a, b; got 7"],
    [{ mixed: "Jane Doe" }, "mixed: must be a boolean or an array; got a string"],
    [{ mixed: [{}] }, "mixed[0].x: is missing"],
    [{ id: "Jane Doe" }, "id: must be digits"],
    [{ date: "Jane Doe" }, "date: is invalid"],
    [{ other: 1 }, "is not a known field"],
    ["Jane Doe", "must be an object; got a string"],
  ])("of %j", (input, fault) => {
    expect(faultsOf(input)).toEqual([fault]);
  });
});
