// Checks every command that the operators' documents print, the files that they name, and their links. `isha …` lines are
// checked option by option in test/cli/documented-commands.test.ts.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import fleet from "../../fleet.config.ts";
import { generatedFiles } from "../../cli/generate/files.ts";
import { readSource } from "../support/source-text.ts";
import {
  anchorsIn,
  commandsIn,
  DOCUMENTS,
  linksIn,
  pathsIn,
  programOf,
  shellParts,
} from "./support/documents.ts";
import { cloudflaredFaults, pm2Faults, wranglerFaults } from "./support/programs.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const { scripts } = JSON.parse(readSource("package.json")) as { scripts: Record<string, string> };
const commands = DOCUMENTS.flatMap((source) => commandsIn(source));
const of = (name: string) =>
  commands
    .map((command) => ({ ...command, ...programOf(command.argv) }))
    .filter((one) => one.program === name);

/** Programs of the system or of an editor's hand, which this project's tests have no description of. */
const SYSTEM =
  "apt-get brew cat cd cmake cp curl df diff echo export git grep install journalctl logrotate mkdir mv nvidia-smi read reboot " +
  "rm scp sha256sum ss ssh systemctl tar tee ubuntu-drivers useradd node /usr/local/bin/llama-server";

describe("the documents' commands", () => {
  it.each(of("npm"))("$source: $line", ({ args }) => {
    const [verb = "", ...rest] = args;
    if (["ci", "install", "start", "test"].includes(verb)) return;
    expect(verb).toBe("run");
    const name = rest.find((word) => !word.startsWith("-")) ?? "";
    expect(Object.keys(scripts)).toContain(name);
    const before = rest.slice(0, rest.indexOf(name));
    expect(before.filter((word) => word !== "-s")).toEqual([]);
    // npm would take the options itself.
    const after = rest.slice(rest.indexOf(name) + 1);
    if (after.length > 0) expect(after[0]).toBe("--");
  });

  it.each(of("wrangler"))("$source: $line", async ({ args }) => {
    expect(await wranglerFaults(args)).toEqual([]);
  });

  it.each(of("pm2"))("$source: $line", async ({ args }) => {
    expect(await pm2Faults(args)).toEqual([]);
  });

  it.each(of("cloudflared"))("$source: $line", ({ args }) => {
    expect(cloudflaredFaults(args)).toEqual([]);
  });

  it("are of these programs only", () => {
    const known = new Set([...SYSTEM.split(" "), "npm", "wrangler", "pm2", "cloudflared", "isha"]);
    const others = commands.map(({ argv }) => programOf(argv).program).filter((name) => !known.has(name));
    expect([...new Set(others)]).toEqual([]);
    for (const name of ["npm", "wrangler", "pm2", "cloudflared"]) expect(of(name).length).toBeGreaterThan(5);
  });

  it("run isha as `npm run isha --` in the step-by-step document", () => {
    const blocks = commandsIn("docs/deploy.md", readSource("docs/deploy.md").replaceAll(/`[^`\n]+`/g, ""));
    expect(blocks.filter(({ argv }) => argv[0] === "isha")).toEqual([]);
    expect(commands.filter(({ argv }) => argv[0] === "npx" && argv[1] === "isha")).toEqual([]);
  });
});

describe("the check of commands finds", () => {
  it.each([
    [["deploys"]],
    [["secret", "putt", "X"]],
    [["deploy", "--enviroment", "production"]],
    [["rollback", "id", "another"]],
  ])("wrangler %s", async (args) => {
    expect(await wranglerFaults(args)).not.toEqual([]);
  });

  it.each([[["relaod", "isha-agent"]], [["start", "x.cjs", "--onlyy", "a"]]])("pm2 %s", async (args) => {
    expect(await pm2Faults(args)).not.toEqual([]);
  });

  it.each([
    [["tunnel", "make", "box1"]],
    [["tunnel", "route", "dns", "box1"].concat("host", "another")],
    [["tunnel", "list", "--all"]],
  ])("cloudflared %s", (args) => {
    expect(cloudflaredFaults(args)).not.toEqual([]);
  });

  it("the commands of a line", () => {
    expect(shellParts(`A=1 sudo x "a b" | tee y >/dev/null && z --env="" # so`)).toEqual([
      ["sudo", "x", "a b"],
      ["tee", "y"],
      ["z", "--env="],
    ]);
    expect(shellParts("ssh box 'a && b; c' && scp <tunnel-id>.json box:")).toEqual([
      ["ssh", "box", "a && b; c"],
      ["scp", "tunnel-id.json", "box:"],
    ]);
  });
});

describe("the documents' files", () => {
  it.each(DOCUMENTS)("%s names files that exist or that isha generate writes", (source) => {
    const [box] = fleet.boxes;
    if (box === undefined) throw new Error("the fleet file has a box");
    const tunnel = { id: "0".repeat(36) };
    const written = generatedFiles({ ...box, tunnel }, { fleetFile: null }).map(({ path }) => path);
    const folder = dirname(source);
    const missing = pathsIn(source).filter(
      (path) =>
        !written.some((file) => file === path || `${dirname(file)}/` === path) &&
        ![ROOT, join(ROOT, folder)].some((root) => existsSync(join(root, path))) &&
        // A file of the operator's own.
        !SECRET_FILES.has(path),
    );
    expect(missing).toEqual([]);
  });

  it("include what deploy.md copies from isha generate", () => {
    const text = readSource("docs/deploy.md");
    for (const name of ["cloudflared.yml", "cloudflared.service", "logrotate"])
      expect(text).toContain(`/home/isha/isha-edge/deploy/box1/${name}`);
  });
});

const SECRET_FILES = new Set(["worker-secrets.json", "drain.json", "last-fleet.json"]);

describe("the documents' links", () => {
  it.each(DOCUMENTS.flatMap(linksIn))("$source → $target", ({ source, target }) => {
    if (/^https?:/.test(target)) return;
    const [path = "", anchor] = target.split("#");
    const file = path === "" ? source : join(dirname(source), path);
    expect(existsSync(join(ROOT, file)), file).toBe(true);
    if (anchor !== undefined) expect([...anchorsIn(readSource(file))]).toContain(anchor);
  });
});
