import { describe, expect, it } from "vitest";
import {
  fieldsOf,
  keyChangeBody,
  keyFaults,
  newKeyBody,
  NEW_KEY,
  type KeyFields,
} from "../../console/model/key-form.ts";
import { keyRow, monthStart } from "../../console/model/key-row.ts";
import { refusal, refusesKey, signInWords } from "../../console/model/problem.ts";
import { usagePath, usageRows } from "../../console/model/usage-table.ts";
import { errorBody, type ErrorCode } from "../../shared/errors.ts";
import { KeyChange, NewKey } from "../../shared/keys.ts";
import { FakeKeys } from "./support/fake-keys.ts";

const NOW = Date.UTC(2026, 10, 23, 3, 0, 0);
const fake = (): FakeKeys => new FakeKeys(() => NOW);
const NAMED: KeyFields = { ...NEW_KEY, name: "Mediczy" };

describe("a key's form", () => {
  it("left as it is makes a key as the edge's defaults have it", () => {
    expect(NewKey.parse(newKeyBody(NAMED))).toEqual(NewKey.parse({ name: "Mediczy" }));
  });

  it("tells the edge all that was chosen", () => {
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

  it("says beside the field what is wrong", () => {
    const fields = {
      ...NEW_KEY,
      infer: false,
      agents: [],
      perSecond: "0",
      concurrent: "-1",
      tokensPerMonth: "many",
    };
    const faulty = ["name", "infer", "agents", "perSecond", "concurrent", "tokensPerMonth"];
    expect(Object.keys(keyFaults(fields)).toSorted()).toEqual(faulty.toSorted());
    expect(keyFaults(NAMED)).toEqual({});
  });

  it("opened and saved changes nothing, whichever key it is", () => {
    for (const key of fake().keys) expect(keyChangeBody(key, fieldsOf(key))).toBeNull();
  });

  it("tells only what was changed", () => {
    const key = fake().find("Zk81hHa0Lw");
    const change = keyChangeBody(key, { ...fieldsOf(key), tokensPerMonth: "", agents: null, expires: "" });
    expect(KeyChange.parse(change)).toEqual({
      agents: null,
      expiresAt: null,
      limits: { tokensPerMonth: null },
    });
  });
});

describe("a key's row", () => {
  it("joins what it used of its month to what it may", () => {
    const keys = fake();
    const month = keys.usage("key", monthStart(NOW));
    const row = keyRow(keys.find("Zk81hHa0Lw"), month);
    expect(row).toMatchObject({
      use: "952.4 k of 1.0 M tokens",
      may: "infer: Claims, Billing only",
      limits: "20 a second, low priority",
    });
    expect(row.useShare).toBeCloseTo(0.952, 2);
    expect(keyRow(keys.find("Aa00Bb11Cc"), month).useShare).toBeNull();
  });

  it("doesn't take an unknown month for an unused one", () => {
    expect(keyRow(fake().find("Qm2xPq8sT1"), null)).toMatchObject({ use: "", useShare: null });
  });

  it("of a revoked key offers nothing to do", () => {
    expect(keyRow(fake().find("Old0Old0Old"), null)).toMatchObject({
      live: false,
      state: { word: "revoked" },
    });
  });
});

describe("usage", () => {
  it("is asked for in whole days of UTC", () => {
    const asked = new URLSearchParams(usagePath("day", "week", NOW).split("?")[1]);
    expect(Object.fromEntries(asked)).toEqual({
      by: "day",
      from: "2026-11-17T00:00:00.000Z",
      to: "2026-11-24T00:00:00.000Z",
    });
    expect(monthStart(NOW)).toBe("2026-11-01T00:00:00.000Z");
  });

  it("names keys where it can", () => {
    const rows = usageRows(
      fake().usage("key", monthStart(NOW)),
      new Map([["Qm2xPq8sT1", "Mediczy production"]]),
    );
    expect(rows.map(({ name }) => name)).toEqual(["Mediczy production", "Zk81hHa0Lw", "Aa00Bb11Cc"]);
    expect(rows[0]).toMatchObject({ whole: "99.4 %", share: 1, estimated: "14 of the calls are estimated" });
  });
});

describe("why a key doesn't sign in", () => {
  const problem = (code: ErrorCode) =>
    refusal(401, new Headers(), errorBody({ code, message: "m" }, "req_1"));

  it.each<[ErrorCode, string]>([
    ["invalid_key", "doesn't know this key"],
    ["expired_key", "has expired"],
    ["scope_missing", "lacks the scope “admin”"],
    ["too_many_failed_keys", "Wait a minute"],
  ])("%s is said in words", (code, words) => {
    expect(signInWords(problem(code))).toContain(words);
    expect(refusesKey(problem(code))).toBe(code !== "too_many_failed_keys");
  });

  it("an answer that isn't ours is told apart, and quotes none of it", () => {
    const strange = refusal(502, new Headers({ "x-request-id": "req_2" }), "<html>bad gateway</html>");
    expect(strange).toMatchObject({ code: "status 502", requestId: "req_2" });
    expect(strange.message).not.toContain("html");
  });
});
