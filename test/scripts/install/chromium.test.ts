import { describe, expect, it } from "vitest";
import { ensureChromium, type Machine } from "../../../scripts/install/chromium.ts";

const machineOf = (more: Partial<Machine> = {}): Machine => ({
  environment: {},
  exists: () => false,
  isRoot: false,
  install: () => expect.unreachable("nothing may be installed here"),
  ...more,
});
const PATH = "/usr/bin/chromium";

describe("the browser of the tests", () => {
  it("is one that is installed, or the one that CHROMIUM names", async () => {
    const machine = machineOf({ exists: (path) => path === PATH || path === "/opt/chrome" });
    expect(await ensureChromium({ machine })).toEqual({ path: PATH, problem: null });
    const chosen = { ...machine, environment: { CHROMIUM: "/opt/chrome" } };
    expect(await ensureChromium({ machine: chosen })).toEqual({ path: "/opt/chrome", problem: null });
  });

  it("may be missing outside CI", async () => {
    expect(await ensureChromium({ machine: machineOf() })).toEqual({ path: null, problem: null });
    expect((await ensureChromium({ machine: machineOf({ isRoot: true }) })).problem).toBeNull();
  });

  it("is installed in CI, as root", async () => {
    let isThere = false;
    const machine = machineOf({
      environment: { CI: "1" },
      isRoot: true,
      exists: (path) => isThere && path === PATH,
      install: async () => (isThere = true),
    });
    expect(await ensureChromium({ machine })).toEqual({ path: PATH, problem: null });
  });

  it.each<[string, Partial<Machine>, RegExp]>([
    ["in CI without root", {}, /^There is no Chromium, and CI .*apt-get install chromium/],
    [
      "in CI, if the install fails",
      { isRoot: true, install: () => Promise.reject(new Error("E: no network")) },
      /^Chromium could not be installed: E: no network\n.*apt-get install chromium/,
    ],
    ["in CI, if the install brings none", { isRoot: true, install: async () => {} }, /^apt-get installed no/],
    [
      "if CHROMIUM names no file",
      { environment: { CHROMIUM: "/opt/none" }, exists: (path) => path === PATH },
      /^CHROMIUM=\/opt\/none: there is no such file/,
    ],
  ])("is a problem %s", async (_when, more, message) => {
    const { path, problem } = await ensureChromium({
      machine: machineOf({ environment: { CI: "1" }, ...more }),
    });
    expect(path).toBeNull();
    expect(problem).toMatch(message);
  });
});
