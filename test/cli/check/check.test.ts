// `isha check` as an operator runs it: the real program, the real wrangler, this clone.
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as z from "zod";
import { wranglerError } from "../../../cli/check/wrangler.ts";
import { PROJECT_NODE } from "../../../scripts/paths.ts";
import { runProgram } from "../support/run-isha.ts";

const Results = z.array(z.object({ check: z.string(), verdict: z.string(), text: z.string() }));

const SECOND_FLEET = join(import.meta.dirname, "../../fixtures/second-fleet.ts");

let home = "";
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "isha-check-"));
});
afterAll(() => rm(home, { recursive: true, force: true }));

const BIN = join(PROJECT_NODE, "../../../.bin");
const PATH = `${BIN}:${process.env["PATH"] ?? ""}`;

describe("isha check", () => {
  it("checks this clone, with the size of the bundle that wrangler makes", async () => {
    const { out } = await runProgram(["check", "--json"], { env: { HOME: home, PATH } });
    const results = Results.parse(JSON.parse(out));
    const names =
      "fleet-file secret-files generated-files development-keys routes bindings migrations address-shield plan bundle bundle-size";
    expect(results.map(({ check }) => check)).toEqual(names.split(" "));
    const text = (name: string): string => results.find(({ check }) => check === name)?.text ?? "";
    expect(text("bundle-size")).toMatch(/\d+\.\d KB gzipped, of 80/);
    // This home has no secrets.
    expect(text("secret-files")).toContain("has no secrets");
  });

  it("names each fault of an invalid fleet file and ends with 1", async () => {
    const file = join(home, "fleet.ts");
    await writeFile(
      file,
      `import { defineFleet } from "${join(import.meta.dirname, "../../../shared/fleet.ts")}";
export default defineFleet({ domain: "a b", boxes: [] });`,
    );
    const { code, out, err } = await runProgram(["check"], { env: { HOME: home, PATH, ISHA_FLEET: file } });
    expect(out).toMatch(/^WRONG {2}fleet-file .*domain: .*; .*boxes: /);
    expect([code, err]).toEqual([1, "isha: Wrong: fleet-file.\n"]);
  });

  it("without wrangler can't check the bundle; a wrangler that fails is quoted", async () => {
    const bin = join(home, "bin");
    const program = join(home, "wrangler");
    const bundle = async (path: string) => {
      const { code, out } = await runProgram(["check", "--json"], { env: { HOME: home, PATH: path } });
      return { code, ...Results.parse(JSON.parse(out)).find(({ check }) => check === "bundle") };
    };
    expect(await bundle(bin)).toMatchObject({ code: 2, verdict: "unknown" });
    await writeFile(program, "#!/bin/sh\necho '✘ [ERROR] No such module \"x\".' >&2\nexit 1\n");
    await chmod(program, 0o755);
    const failed = await bundle(`${home}:${process.env["PATH"] ?? ""}`);
    expect(failed).toMatchObject({
      code: 1,
      verdict: "wrong",
      text: expect.stringContaining('No such module "x".'),
    });
  });

  it("--online adds the doctor's checks of the service and of each box's tunnel", async () => {
    // Without a tunnel, so that no address outside this machine is called.
    const file = join(home, "local.ts");
    await writeFile(
      file,
      `import fleet from ${JSON.stringify(SECOND_FLEET)};
const boxes = fleet.boxes.map((box) => ({ ...box, origin: "http://127.0.0.1:9" }));
export default { ...fleet, boxes };`,
    );
    const { code, out } = await runProgram(["check", "--online", "--json", "--url", "http://127.0.0.1:9"], {
      env: { HOME: home, PATH: join(home, "none"), ISHA_FLEET: file },
    });
    const results = Results.parse(JSON.parse(out));
    expect(code).toBe(1);
    const named = (name: string) => results.find(({ check }) => check === name);
    expect(named("edge")).toMatchObject({ verdict: "wrong", text: expect.stringContaining("127.0.0.1:9") });
    for (const name of ["tunnel-north", "access-token-north"])
      expect(named(name)).toMatchObject({ verdict: "skipped", text: "http://127.0.0.1:9 is no tunnel" });
    // The edge is built with the project's own fleet file.
    expect(named("fleet-file")).toMatchObject({
      verdict: "wrong",
      text: expect.stringContaining("ISHA_FLEET"),
    });
  });

  it("quotes wrangler's error without its colours", () => {
    expect(wranglerError("Read 10 files\n\u001b[31m✘ [ERROR]\u001b[0m Bad\n\n  thing\n")).toBe(
      "✘ [ERROR] Bad thing",
    );
  });
});
