import { describe, expect, it } from "vitest";
import {
  fieldErrors,
  fieldsOf,
  keyChangeBody,
  newKeyBody,
  NEW_KEY,
  type KeyFields,
} from "../../../console/model/key-form.ts";
import { KeyChange, NewKey } from "../../../shared/keys.ts";
import { FakeKeys } from "../support/fake-keys.ts";

const NOW = Date.UTC(2026, 10, 23, 3, 0, 0);
const fake = (): FakeKeys => new FakeKeys(() => NOW);
const NAMED: KeyFields = { ...NEW_KEY, name: "Mediczy" };

describe("a key's form", () => {
  it("makes a key with the edge's defaults if left unchanged", () => {
    expect(NewKey.parse(newKeyBody(NAMED))).toEqual(NewKey.parse({ name: "Mediczy" }));
  });

  it("sends everything that was chosen", () => {
    const fields: KeyFields = {
      ...NAMED,
      admin: true,
      agents: ["Claims"],
      perSecond: "20",
      concurrent: "4",
      tokensPerMonth: "1,000,000",
      priority: "low",
      fallback: "none",
      addressExempt: true,
      expires: "2030-01-01",
    };
    expect(NewKey.parse(newKeyBody(fields))).toEqual({
      name: "Mediczy",
      scopes: ["infer", "admin"],
      agents: ["Claims"],
      limits: { perSecond: 20, concurrent: 4, tokensPerMonth: 1_000_000 },
      priority: "low",
      fallback: "none",
      addressExempt: true,
      expiresAt: "2030-01-01",
    });
  });

  it("shows errors next to the fields", () => {
    const fields = {
      ...NEW_KEY,
      infer: false,
      agents: [],
      perSecond: "0",
      concurrent: "-1",
      tokensPerMonth: "many",
    };
    const invalid = ["name", "infer", "agents", "perSecond", "concurrent", "tokensPerMonth"];
    expect(Object.keys(fieldErrors(fields)).toSorted()).toEqual(invalid.toSorted());
    expect(fieldErrors(NAMED)).toEqual({});
  });

  it("opened and saved without a change changes nothing", () => {
    for (const key of fake().keys) expect(keyChangeBody(key, fieldsOf(key))).toBeNull();
  });

  it("sends only what was changed", () => {
    const key = fake().find("Zk81hHa0Lw");
    const change = keyChangeBody(key, { ...fieldsOf(key), tokensPerMonth: "", agents: null, expires: "" });
    expect(KeyChange.parse(change)).toEqual({
      agents: null,
      expiresAt: null,
      limits: { tokensPerMonth: null },
    });
  });
});
