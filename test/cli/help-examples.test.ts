// The examples in the help: each is run by a test, and here those that write a clone's files, examine the machine or call
// Cloudflare, as printed and in the order in which an operator needs them.
import { chmod, cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CommandContext } from "../../cli/context.ts";
import shipped from "../../fleet.config.ts";
import { ROOT } from "../../scripts/paths.ts";
import type { FleetConfig } from "../../shared/fleet.ts";
import { readSource } from "../support/source-text.ts";
import { ADMIN_KEY, AdminService } from "./support/admin-service.ts";
import {
  argumentsOf,
  examplesOf,
  firstLine,
  knownExamples,
  printedExamples,
} from "./support/help-examples.ts";
import { reservePorts } from "./support/reserved-ports.ts";
import { commandContext, runHere } from "./support/run-isha.ts";

describe("the help's examples", () => {
  it("are each run by a test", async () => {
    expect((await printedExamples()).toSorted()).toEqual(knownExamples().toSorted());
  });

  it("name the boxes, ports and agent types of the fleet file", async () => {
    const [north] = shipped.boxes;
    const last = north?.servers.at(-1);
    expect((await runHere(["box", "restart", "--help"])).out).toContain(
      `box restart ${north?.name} ${last?.port} --yes`,
    );
    expect((await runHere(["keys", "create", "--help"])).out).toContain(`--agents ${last?.agents.join(",")}`);
  });
});

const VERSION = "4f3a5d2e-6a43-4b0c-9a51-0f6f6c2b1d7e";
const WRANGLER = `#!/bin/sh
case "$*" in
  *--dry-run*) echo > "$4/index.js";;
  deployments*) echo '[{"created_on":"2026-11-02","versions":[{"version_id":"${VERSION}","percentage":100}]}]';;
  *) echo "Current Version ID: ${VERSION}";;
esac
`;

/** What the operator types at the questions of `isha init`. */
const ANSWERS: Readonly<Record<string, string>> = {
  "Public host name": "ai.example.org",
  Card: "L4",
  "Its memory": "24",
  "Unix user": "ana",
  Location: "weur",
  "GGUF file of server 1:": "lark.gguf",
  "lark.gguf isn't here": "1.1",
  "Wren-8B.gguf isn't here": "4.6",
  "KiB of f16": "112",
};

describe("in a copy of the clone", () => {
  const service = new AdminService();
  let clone: string;
  let context: Partial<CommandContext>;
  let ports: Awaited<ReturnType<typeof reservePorts>>;
  let runCopy: (argv: readonly string[], io: CommandContext) => Promise<number>;
  beforeAll(async () => {
    clone = await mkdtemp(join(tmpdir(), "isha-examples-"));
    const sources =
      "cli ecosystem.config.cjs origin-agent package.json shared tsconfig.json worker wrangler.toml";
    for (const name of sources.split(" ")) await cp(join(ROOT, name), join(clone, name), { recursive: true });
    await symlink(join(ROOT, "node_modules"), join(clone, "node_modules"));
    // No tunnel, so that no address outside this machine is called.
    const text = readSource("fleet.config.ts").replace(
      /origin: "https:[^"]+"/,
      'origin: "http://127.0.0.1:9"',
    );
    await writeFile(join(clone, "fleet.config.ts"), text);
    await writeFile(
      join(clone, "llama-swap.yaml"),
      'models:\n  "Wren-8B":\n    cmd: /opt/llama-server -m /srv/models/Wren-8B.gguf -c 8192 -np 2 --port 9200\n',
    );
    const home = join(clone, "home");
    await mkdir(join(home, "bin"), { recursive: true });
    await writeFile(join(home, "bin/wrangler"), WRANGLER);
    await chmod(join(home, "bin/wrangler"), 0o755);
    ports = await reservePorts(1);
    context = {
      env: {
        PATH: `${join(home, "bin")}:${process.env["PATH"] ?? ""}`,
        ISHA_URL: await service.start(),
        ISHA_ADMIN_KEY: ADMIN_KEY,
        AGENT_PORT: String(ports.ports[0]),
      },
      homeFolder: home,
      folder: clone,
      fleet: async () => {
        const module = (await import(
          /* @vite-ignore */ pathToFileURL(join(clone, "fleet.config.ts")).href
        )) as { default: FleetConfig };
        return module.default;
      },
      ask: (question) =>
        Promise.resolve(
          Object.entries(ANSWERS).find(([start]) => question.trim().startsWith(start))?.[1] ?? "",
        ),
      putSecret: () => Promise.resolve(0),
    };
    const copy = (await import(/* @vite-ignore */ pathToFileURL(join(clone, "cli/isha.ts")).href)) as {
      runIsha: typeof runCopy;
    };
    runCopy = copy.runIsha;
  });
  afterAll(async () => {
    await service.stop();
    await ports.release();
    await rm(clone, { recursive: true });
  });

  it.each(examplesOf("clone"))("isha $line", async ({ line, first, code }) => {
    let out = "";
    let err = "";
    const io = commandContext({
      ...context,
      out: { write: (text) => (out += text), columns: null, colours: false },
      err: { write: (text) => (err += text), columns: null, colours: false },
    });
    expect(await runCopy(argumentsOf(line, context.homeFolder), io), err).toBe(code);
    expect(firstLine({ out, err })).toMatch(first);
  });
});
