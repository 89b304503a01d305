// Tests of `isha doctor`: checks that can't be made, those that don't apply, and that nothing stops or delays the others.
import { describe, expect, it } from "vitest";
import { BOX_CHECKS } from "../../../cli/doctor/box-checks.ts";
import { fine, runChecks, type Check } from "../../../cli/doctor/check.ts";
import { PM2_CHECKS } from "../../../cli/doctor/pm2-checks.ts";
import { buildOf, SERVER_CHECKS } from "../../../cli/doctor/server-checks.ts";
import { doctorText } from "../../../cli/terminal/doctor-text.ts";
import { around, check, CHECKS, DUMP, DUMP_FILE, HEALTH, LLAMA, type World } from "./support/world.ts";

describe("what can't be checked", () => {
  it.each<[string, World]>([
    ["access-token-box1", {}],
    ["pm2-node", {}],
    ["pm2-boot", { files: { [DUMP_FILE]: DUMP } }],
    ["llama-flags", {}],
    ["llama-build", { programs: { [LLAMA]: { code: 0, out: "hello" } } }],
    ["edge-https", {}],
    ["service-health", { answers: { [HEALTH]: { text: "<html>" } } }],
    ["log-canary", {}],
  ])("%s is reported as unknown, with what it needs", async (name, world) => {
    const result = await check(name, world);
    expect(result.verdict).toBe("unknown");
    expect(result.fix).toBeTruthy();
  });

  it("on a machine that is no box, the box's checks are skipped", async () => {
    const checks = [...BOX_CHECKS, ...PM2_CHECKS, ...SERVER_CHECKS];
    const results = await runChecks(checks, around({ onBox: false }), new AbortController().signal);
    expect(new Set(results.map(({ verdict }) => verdict))).toEqual(new Set(["skipped"]));
  });

  it("a check that hangs or throws stops no other", async () => {
    const checks: Check[] = [
      { name: "hangs", run: () => new Promise(() => undefined) },
      { name: "throws", run: () => Promise.reject(new RangeError("a patient's words")) },
      {
        name: "throws-at-once",
        run: () => {
          throw new RangeError("a patient's words");
        },
      },
      { name: "works", run: () => Promise.resolve(fine("yes")) },
    ];
    const surroundings = { ...around({}), command: "isha check --online" };
    const results = await runChecks(checks, surroundings, new AbortController().signal, 20);
    expect(results.map(({ verdict }) => verdict)).toEqual(["unknown", "unknown", "unknown", "fine"]);
    expect(JSON.stringify(results)).not.toContain("patient");
    for (const { fix } of results.slice(0, 3)) expect(fix).toContain("Run it again: isha check --online");
  });

  it("Ctrl-C ends all of them", async () => {
    const hangs = [{ name: "hangs", run: () => new Promise<never>(() => undefined) }];
    const interrupt = new AbortController();
    const results = runChecks(hangs, around({}), interrupt.signal);
    interrupt.abort();
    expect(await results).toMatchObject([{ verdict: "unknown", text: "interrupted" }]);
  });
});

describe("a build of llama-server", () => {
  it.each([
    ["version: 6912 (de3ff81)", "b6912 (de3ff81)"],
    ["version: b6912", "b6912"],
    ["load\nversion: 0.5.0-dev (build 1, commit de3ff81)\nbuilt with GNU", "b1 (de3ff81)"],
    ["usage: llama-server", null],
  ])("%j is %s", (output, build) => {
    expect(buildOf(output)).toBe(build);
  });
});

it("the text puts what is wrong first, with its fix", () => {
  const text = doctorText(
    [
      { check: "a", verdict: "fine", text: "good" },
      { check: "e", verdict: "noted", text: "over", fix: "nothing" },
      { check: "bb", verdict: "wrong", text: "bad", fix: "do it" },
      { check: "c", verdict: "skipped", text: "not here" },
      { check: "d", verdict: "unknown", text: "who knows", fix: "look" },
    ],
    { colours: false },
  );
  expect(text).toBe(
    [
      "WRONG  bb  bad",
      "           → do it",
      "?      d   who knows",
      "           → look",
      "note   e   over",
      "           → nothing",
      "fine   a   good",
      "–      c   not here",
      "",
      "1 fine, 1 wrong, 1 not checked, 1 noted, 1 don't apply here",
      "",
    ].join("\n"),
  );
});

it("every check has a name of its own, in kebab-case", () => {
  const names = CHECKS.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const name of names) expect(name).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
});
