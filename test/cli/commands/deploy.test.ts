// `isha deploy` with a program in wrangler's place, which records its arguments: what runs in which order, and what an
// operator reads. The arguments are held to the real wrangler's own help.
import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ROOT } from "../../../scripts/paths.ts";
import { readSource } from "../../support/source-text.ts";
import type { CommandContext } from "../../../cli/context.ts";
import { CommandFailure, EXIT } from "../../../cli/failure.ts";
import { runHere } from "../support/run-isha.ts";

const OLD = "8d1c7b90-2f0e-4d8b-8f0a-5b1f0c9e3a21";
const NEW = "4f3a5d2e-6a43-4b0c-9a51-0f6f6c2b1d7e";

/** What the program prints, and its exit code, for `deployments list` and for `deploy`. */
interface Wrangler {
  readonly list?: readonly [code: number, out: string];
  readonly deploy?: readonly [code: number, out: string];
  /** Of the bundle, which can't be compressed. */
  readonly bundleBytes?: number;
}

const EXISTS = JSON.stringify(
  [
    { created_on: "2026-11-02", versions: [{ version_id: OLD, percentage: 100 }] },
    { created_on: "2026-11-01", versions: [{ version_id: NEW, percentage: 100 }] },
  ],
  null,
  2,
);
const NO_WORKER =
  "✘ [ERROR] A request to the Cloudflare API failed.\n  This Worker does not exist on your account. [code: 10007]";

let home = "";
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "isha-deploy-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

async function isha(
  args: readonly string[],
  { list = [0, EXISTS], deploy, bundleBytes = 1_000 }: Wrangler = {},
  given: Partial<CommandContext> = {},
) {
  const done = deploy ?? [0, `Uploaded isha-edge\nCurrent Version ID: ${NEW}\n`];
  const script = `#!/bin/sh
echo "$@" >> ${join(home, "calls")}
case "$*" in
  *--dry-run*) head -c ${bundleBytes} /dev/urandom > "$4/index.js"; exit 0;;
  deployments*) cat ${join(home, "list")}; exit ${list[0]};;
  *) cat ${join(home, "deployed")}; exit ${done[0]};;
esac
`;
  await mkdir(join(home, "bin"), { recursive: true });
  await writeFile(join(home, "list"), list[1]);
  await writeFile(join(home, "deployed"), done[1]);
  await writeFile(join(home, "bin/wrangler"), script);
  await chmod(join(home, "bin/wrangler"), 0o755);
  const path = `${join(home, "bin")}:${process.env["PATH"] ?? ""}`;
  const env = { HOME: home, PATH: path };
  return runHere(["deploy", ...args], { env, homeFolder: home, folder: home, ...given });
}

/** The arguments of each call of wrangler but the dry run. */
async function calls(): Promise<string[]> {
  const text = await readFile(join(home, "calls"), "utf8").catch(() => "");
  return text.split("\n").filter((line) => line !== "" && !line.includes("--dry-run"));
}

async function secrets(name: string, mode = 0o600): Promise<string> {
  const path = join(home, name);
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(path, JSON.stringify({ BOX_SECRET: "a-box-secret-of-the-test" }), { mode });
  return path;
}

describe("isha deploy", () => {
  it("deploys production after the checks, and prints the version and the way back", async () => {
    const { code, out, err } = await isha([]);
    expect([code, out]).toEqual([
      0,
      `Deployed production: version ${NEW}.\nTo go back to the version before:  npx wrangler rollback ${OLD} --env production\n`,
    ]);
    expect(err).toContain("Uploaded isha-edge");
    expect(await calls()).toEqual([
      "deployments list --env production --json",
      "deploy --env production --strict",
    ]);
  });

  it("takes the secrets with the first deployment, and needs them", async () => {
    const without = await isha([], { list: [1, NO_WORKER] });
    expect(without.code).toBe(2);
    expect(without.err).toContain("isha secrets init");
    expect(await calls()).toEqual(["deployments list --env production --json"]);
    const path = await secrets(".isha/worker-secrets.json");
    const { code, out, err } = await isha([], { list: [1, NO_WORKER] });
    expect([code, out]).toEqual([0, expect.stringContaining("It is the first version")]);
    expect((await calls()).at(-1)).toBe(`deploy --env production --strict --secrets-file ${path}`);
    expect(out + err).not.toContain("a-box-secret");
  });

  it("staging has secrets of its own, never production's", async () => {
    await secrets(".isha/worker-secrets.json");
    const without = await isha(["--env", "staging"], { list: [1, NO_WORKER] });
    expect([without.code, without.err]).toEqual([2, expect.stringContaining("--folder ~/.isha-staging")]);
    const path = await secrets("staging/worker-secrets.json");
    const args = ["--env", "staging", "--secrets-file", "staging/worker-secrets.json"];
    expect((await isha(args, { list: [1, NO_WORKER] })).code).toBe(0);
    expect((await calls()).at(-1)).toBe(`deploy --env staging --strict --secrets-file ${path}`);
  });

  it("refuses a secrets file that others can read, and one that isn't there", async () => {
    await secrets("open.json", 0o644);
    const open = await isha(["--secrets-file", "open.json"]);
    expect([open.code, open.err]).toEqual([1, expect.stringContaining("chmod 600")]);
    expect((await isha(["--secrets-file", "none.json"])).code).toBe(2);
    expect((await calls()).filter((line) => line.startsWith("deploy "))).toEqual([]);
  });

  it("reports too large a bundle, and deploys it", async () => {
    const { code, err } = await isha([], { bundleBytes: 90_000 });
    expect(code).toBe(0);
    expect(err).toMatch(/isha check: bundle-size: the Worker has 90\.\d KB gzipped, of 80\./);
  });

  it("uploads nothing with an invalid fleet file", async () => {
    const fault = "fleet.config.ts has a fault:\n  - domain: Invalid input";
    const fleet = () =>
      Promise.reject(new CommandFailure(EXIT.usage, `The fleet file can't be read: ${fault}`));
    const { code, out, err } = await isha([], {}, { fleet });
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(/WRONG {2}fleet-file .*domain: /);
    expect(err).toContain("Nothing was uploaded");
    expect(await calls()).toEqual([]);
  });

  it("without a login uploads nothing and names the fix; a failed upload ends with 1", async () => {
    const refused = await isha([], { list: [1, "✘ [ERROR] It's necessary to set a CLOUDFLARE_API_TOKEN"] });
    expect(refused.code).toBe(1);
    expect(refused.err).toMatch(/necessary to set a CLOUDFLARE_API_TOKEN[^]*npx wrangler login/);
    expect(await calls()).toHaveLength(1);
    const failed = await isha([], { deploy: [1, "✘ [ERROR] error 100117\n"] });
    expect([failed.code, failed.out]).toEqual([1, ""]);
    expect(failed.err).toMatch(/error 100117[^]*wrangler ended with 1/);
  });
});

describe("the arguments", () => {
  it.each([
    ["deploy", "--dry-run --outdir --env --strict --secrets-file"],
    ["deployments list", "--env --json"],
    ["rollback", "--env"],
    ["secret bulk", "--env"],
  ])("of wrangler %s are in its own help: %s", async (command, flags) => {
    const wrangler = join(ROOT, "node_modules/wrangler/bin/wrangler.js");
    const env = {
      PATH: process.env["PATH"] ?? "",
      HOME: home,
      WRANGLER_SEND_METRICS: "false",
      NO_COLOR: "1",
    };
    const run = promisify(execFile);
    const { stdout } = await run(process.execPath, [wrangler, ...command.split(" "), "--help"], { env });
    for (const flag of flags.split(" ")) expect(stdout).toMatch(new RegExp(`\\${flag}\\b`));
  });

  it("npm run deploy is isha deploy", () => {
    const { scripts } = JSON.parse(readSource("package.json")) as { scripts: Record<string, string> };
    expect(scripts["deploy"]).toBe("node cli/isha.cjs deploy");
  });
});
