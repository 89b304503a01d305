// `isha init`: from options alone, at a terminal, from a llama-swap file; what it refuses, and that it writes all or nothing.
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { defineFleet, type FleetConfig } from "../../../shared/fleet.ts";
import { ROOT } from "../../../scripts/paths.ts";
import { writeGguf } from "../plan/support/gguf-file.ts";
import { llama8b } from "../plan/support/gguf-writer.ts";
import { runHere } from "../support/run-isha.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "isha-init-"));
  await writeGguf(join(folder, "wren-8b.gguf"), llama8b(6));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const BASE =
  "init --out fleet.ts --domain ai.example.org --gpu L4 --vram 24 --user ana --location weur --models";

/** Options that leave nothing to ask. */
const complete = (): string[] => [
  ...BASE.split(" "),
  folder,
  "--server",
  "file=wren-8b.gguf,model=Wren-8B,agents=Scribe+Triage",
  "--server",
  "file=lark.gguf,model=Lark-1B,weights=1.1,kv=112,port=9100,pm2=lark",
];

const isha = (words: readonly string[], given: Parameters<typeof runHere>[1] = {}) =>
  runHere(words, { folder, env: {}, ...given });

async function written(name = "fleet.ts"): Promise<FleetConfig> {
  const module = (await import(/* @vite-ignore */ pathToFileURL(join(folder, name)).href)) as {
    default: FleetConfig;
  };
  return module.default;
}

describe("isha init", () => {
  it("writes a valid fleet file from options, with what the GGUF header states", async () => {
    const { code, out, err } = await isha(complete());
    expect([code, out]).toEqual([0, `Wrote ${join(folder, "fleet.ts")}.\n`]);
    expect(err).toContain('     routes = [{ pattern = "ai.example.org", custom_domain = true }]\n');
    expect(err).toContain('     routes = [{ pattern = "staging.ai.example.org", custom_domain = true }]\n');
    expect(err).toContain(`ISHA_FLEET=${join(folder, "fleet.ts")} npm run isha -- secrets init\n`);
    const fleet = await written();
    expect(defineFleet(fleet)).toEqual(fleet);
    expect(fleet).toMatchObject({ domain: "ai.example.org", defaultPort: 9001 });
    expect(fleet.boxes).toMatchObject([
      {
        name: "box1",
        origin: "https://box1.example.org",
        servers: [
          {
            port: 9001,
            pm2: "llama-wren-8b-9001",
            model: "Wren-8B",
            weightsGib: 6,
            kvKibPerToken: 128,
            agents: ["Scribe", "Triage"],
          },
          { port: 9100, pm2: "lark", model: "Lark-1B", weightsGib: 1.1, kvKibPerToken: 112, agents: [] },
        ],
      },
    ]);
  });

  it("writes it in the project's form", async () => {
    await isha(complete());
    const text = await readFile(join(folder, "fleet.ts"), "utf8");
    expect(text).toMatch(/^\/\/ The fleet of this deployment/);
    expect(text).toContain(
      'const common = { slots: 2, contextPerSlot: 2048, maxTokens: 1024, kvType: "q8_0", ',
    );
    expect(text.match(/\n {10}\.\.\.common,\n/g)).toHaveLength(2);
    const oxfmt = join(ROOT, "node_modules/.bin/oxfmt");
    const args = ["--config", join(ROOT, ".oxfmtrc.json"), "--check", join(folder, "fleet.ts")];
    await promisify(execFile)(oxfmt, args, { cwd: folder });
  });

  it("never replaces a file without --force", async () => {
    await writeFile(join(folder, "fleet.ts"), "mine");
    const refused = await isha(complete());
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining("--force")]);
    expect(await readFile(join(folder, "fleet.ts"), "utf8")).toBe("mine");
    expect((await isha([...complete(), "--force"])).code).toBe(0);
  });

  it("without a terminal names everything that is missing, and writes nothing", async () => {
    const { code, err } = await isha(["init", "--out", "fleet.ts"]);
    expect(code).toBe(2);
    for (const option of ["--domain", "--location", "--server"]) expect(err).toContain(option);
    const noFile = await isha([...BASE.split(" "), folder, "--server", "file=lark.gguf,model=Lark-1B"]);
    expect(noFile.err).toContain(
      `--server: weights and kv of Lark-1B: ${join(folder, "lark.gguf")} isn't here`,
    );
    expect(await readdir(folder)).toEqual(["wren-8b.gguf"]);
  });

  it("at a terminal asks for what the options don't have", async () => {
    const answers: Readonly<Record<string, string>> = {
      "Public host name": "ai.example.org",
      "Name of the box": "north",
      Card: "L4",
      "Its memory": "24",
      "Folder of": folder,
      "Unix user": "ana",
      Location: "weur",
      "GGUF file of server 1:": "wren-8b.gguf",
      "GGUF file of server 2": "lark.gguf",
      "Agent types": "Scribe, Triage",
      "lark.gguf isn't here": "1.1",
      "KiB of f16": "112",
    };
    const questions: string[] = [];
    let servers = 0;
    const ask = (question: string): Promise<string> => {
      questions.push(question);
      if (question.startsWith("GGUF file")) servers += 1;
      const [, answer = ""] =
        Object.entries(answers).find(([start]) => question.trim().startsWith(start)) ?? [];
      // Replicas only may share an agent type.
      return Promise.resolve(question.trim().startsWith("Agent types") && servers > 1 ? "" : answer);
    };
    expect((await isha(["init", "--out", "fleet.ts"], { ask })).code).toBe(0);
    expect(questions).toContain("llama-server on the box [/usr/local/bin/llama-server]: ");
    expect(questions).toContain("Address of its tunnel [https://north.example.org]: ");
    const [box] = (await written()).boxes;
    expect(box?.servers.map(({ model, agents }) => [model, agents])).toEqual([
      ["wren-8b", ["Scribe", "Triage"]],
      ["lark", []],
    ]);
  });

  it("writes nothing if the answers make no valid fleet, and names the fields", async () => {
    const words = complete().map((word) => (word === "24" ? "4" : word === "ai.example.org" ? "a b" : word));
    const { code, err } = await isha(words);
    expect(code).toBe(1);
    expect(err).toMatch(/Nothing was written\.[^]*domain: /);
    const small = await isha(complete().map((word) => (word === "24" ? "4" : word)));
    expect(small.err).toContain("boxes[0].servers: they need");
    expect(await readdir(folder)).toEqual(["wren-8b.gguf"]);
  });

  it("takes docs/deploy.md's user for the box's, and the operator's own on a machine with PM2", async () => {
    const words = complete().filter((word, at, all) => word !== "--user" && all[at - 1] !== "--user");
    const env = { USER: "ana" };
    expect((await isha(words, { env })).code).toBe(0);
    const onBox = [...words, "--out", "box.ts"];
    expect((await isha(onBox, { env: { ...env, PM2_HOME: folder } })).code).toBe(0);
    const users = [await written(), await written("box.ts")].map(({ boxes }) => boxes[0]?.user);
    expect(users).toEqual(["isha", "ana"]);
  });

  it("refuses a GGUF file that is no model, with what it lacks", async () => {
    const { "llama.block_count": _, ...metadata } = llama8b(1).metadata;
    await writeGguf(join(folder, "adapter.gguf"), { ...llama8b(1), metadata });
    const { code, err } = await isha([...BASE.split(" "), folder, "--server", "file=adapter.gguf"]);
    expect([code, err]).toEqual([1, expect.stringContaining("its metadata has no llama.block_count.\n")]);
    expect(err).toContain("Nothing was written.");
  });

  it("refuses a damaged GGUF file and a server that can't be read", async () => {
    await writeFile(join(folder, "bad.gguf"), "GG");
    const bad = await isha([...BASE.split(" "), folder, "--server", "file=bad.gguf"]);
    expect([bad.code, bad.err]).toEqual([1, expect.stringContaining("bad.gguf can't be used")]);
    for (const server of ["wren", "size=3", "file=a.gguf,port=x"])
      expect((await isha([...BASE.split(" "), folder, "--server", server])).code).toBe(2);
  });

  it("--import takes the models of a llama-swap file and lists what it could not take", async () => {
    await writeFile(
      join(folder, "swap.yaml"),
      `models:\n  "Wren-8B":\n    cmd: /opt/llama-server -m ${folder}/wren-8b.gguf -c 8192 -np 2 --port 9200\n    ttl: 60\n`,
    );
    const words = BASE.replace(" --models", "").split(" ");
    const server = "model=Wren-8B,agents=Scribe";
    const { code, out } = await isha([...words, "--import", "swap.yaml", "--server", server]);
    expect([code, out]).toEqual([
      0,
      expect.stringContaining("Not imported:\n  - models.Wren-8B: ttl: has no place in a fleet file\n"),
    ]);
    const [box] = (await written()).boxes;
    expect(box).toMatchObject({
      llamaServerBin: "/opt/llama-server",
      modelsDir: folder,
      servers: [{ port: 9200, contextPerSlot: 4096, slots: 2, agents: ["Scribe"], weightsGib: 6 }],
    });
    for (const [name, text] of [["none.yaml"], ["bad.yaml", "models: 3"]] as const) {
      if (text !== undefined) await writeFile(join(folder, name), text);
      expect((await isha([...words, "--force", "--import", name])).code).toBe(2);
    }
  });
});
