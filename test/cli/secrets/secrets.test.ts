// `isha secrets` creates a deployment's secrets once, keeps what is there, and rotates them in an order without downtime.
import { createHash } from "node:crypto";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readSettings as readAgentSettings } from "../../../origin-agent/settings.ts";
import shipped from "../../../fleet.config.ts";
import { runHere, type Ran } from "../support/run-isha.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "isha-secrets-"));
});
afterEach(async () => {
  await rm(home, { recursive: true, force: true });
});

const isha = (words: string, env: Readonly<Record<string, string>> = {}): Promise<Ran> =>
  runHere(words.split(" "), { homeFolder: home, folder: home, env });
const file = (name: string): string => join(home, ".isha", name);
const text = (name: string): Promise<string> => readFile(file(name), "utf8");
const agentEnv = async (): Promise<NodeJS.Dict<string>> => parseEnv(await text("agent.env"));
const worker = async (): Promise<Record<string, string>> => JSON.parse(await text("worker-secrets.json"));

describe("isha secrets init", () => {
  it("creates all files for their owner alone, with values that both programs accept", async () => {
    const { code, out, err } = await isha("secrets init");
    expect(code).toBe(0);
    const names = ["admin-key", "agent.env", "llama-api-key", "worker-secrets.json"];
    expect((await readdir(file(""))).toSorted()).toEqual(names);
    for (const name of names) {
      expect((await stat(file(name))).mode & 0o777).toBe(0o600);
      expect(out).toMatch(new RegExp(`${name} +created`));
    }
    const env = await agentEnv();
    expect(readAgentSettings(env).llamaApiKey).toBe((await text("llama-api-key")).trim());
    const secrets = await worker();
    expect(secrets["BOX_SECRET"]).toBe(env["BOX_SECRET"]);
    const hash = createHash("sha256")
      .update((await text("admin-key")).trim())
      .digest("hex");
    expect(secrets["FIRST_ADMIN_KEY_SHA256"]).toBe(hash);
    expect(err).toContain(`npm run deploy -- --secrets-file ${file("worker-secrets.json")}`);
    expect(err).toContain(`npx wrangler secret bulk ${file("worker-secrets.json")} --env production`);
    expect(err).toContain("isha@box1:.isha/");
  });

  it("of another folder names no step that would put them into production", async () => {
    const { code, err } = await isha("secrets init --folder .isha-staging");
    expect(code).toBe(0);
    const path = file("../.isha-staging/worker-secrets.json");
    expect(err).toContain(`npm run deploy -- --env staging --secrets-file ${path}`);
    expect(err).not.toMatch(/production|scp|secret bulk/);
  });

  it("of ISHA_SECRETS are production's, and rotate finds them there", async () => {
    const env = { ISHA_SECRETS: join(home, "elsewhere") };
    const { code, err } = await isha("secrets init", env);
    expect(code).toBe(0);
    expect((await readdir(env.ISHA_SECRETS)).length).toBe(4);
    expect(err).toContain(`wrangler secret bulk ${env.ISHA_SECRETS}/worker-secrets.json --env production`);
    expect(err).toContain(`--key-file ${env.ISHA_SECRETS}/admin-key`);
    const rotated = await isha("secrets rotate box-secret", env);
    expect([rotated.code, rotated.err]).toEqual([0, expect.stringContaining("--finish\n")]);
    expect((await isha("secrets init", { ISHA_SECRETS: "elsewhere" })).out).toMatch(/admin-key +kept/);
    // An empty value is no folder.
    expect((await isha("secrets init", { ISHA_SECRETS: "" })).out).toContain(join(home, ".isha"));
  });

  it("names the service token that is missing if the fleet file has tunnel.access, until the environment has it", async () => {
    const tunnel = { id: "6ff42ae2-765d-4adf-8112-31c55c1551ef", access: { teamName: "t", audTag: "a" } };
    const fleet = { ...shipped, boxes: shipped.boxes.map((box) => ({ ...box, tunnel })) };
    const behindAccess = (words: string, env: Readonly<Record<string, string>> = {}): Promise<Ran> =>
      runHere(words.split(" "), {
        homeFolder: home,
        folder: home,
        env,
        fleet: () => Promise.resolve(fleet),
      });
    const { code, err } = await behindAccess("secrets init");
    expect(code).toBe(0);
    expect(err).toContain("Missing in worker-secrets.json: ACCESS_CLIENT_ID, ACCESS_CLIENT_SECRET.");
    expect(err).toContain("docs/deploy.md, step 4");
    expect((await behindAccess("secrets init --folder .isha-staging")).err).not.toContain("Missing");
    const access = { ACCESS_CLIENT_ID: "id.access", ACCESS_CLIENT_SECRET: "cfast_x" };
    const complete = await behindAccess("secrets init --json", access);
    expect(JSON.parse(complete.out)).toMatchObject({ missing: [] });
    expect((await behindAccess("secrets init")).err).not.toContain("Missing");
  });

  it("prints no secret", async () => {
    const { out, err } = await isha("secrets init");
    const secrets = [
      ...Object.values(await worker()),
      ...Object.values(await agentEnv()),
      await text("admin-key"),
    ];
    for (const secret of secrets) expect(out + err).not.toContain(secret?.trim());
  });

  it("keeps what exists, so a second run changes nothing", async () => {
    await isha("secrets init");
    const before = await Promise.all([text("agent.env"), text("admin-key"), text("worker-secrets.json")]);
    const { code, out } = await isha("secrets init --json");
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ created: [], kept: { length: 4 } });
    expect(await Promise.all([text("agent.env"), text("admin-key"), text("worker-secrets.json")])).toEqual(
      before,
    );
  });

  it.each(["agent.env", "llama-api-key", "admin-key", "worker-secrets.json"])(
    "completes an interrupted run without %s, and all files agree",
    async (name) => {
      await isha("secrets init");
      await rm(file(name));
      expect((await isha("secrets init")).code).toBe(0);
      const env = await agentEnv();
      expect(env["LLAMA_API_KEY"]).toBe((await text("llama-api-key")).trim());
      expect((await worker())["BOX_SECRET"]).toBe(env["BOX_SECRET"]);
    },
  );

  it("adds what others issue from the environment, and only as a pair", async () => {
    const access = { ACCESS_CLIENT_ID: "id.access", ACCESS_CLIENT_SECRET: "cfast_x" };
    await isha("secrets init", { ...access, ALERT_WEBHOOK_URL: "https://ntfy.example/x" });
    expect(await worker()).toMatchObject({ ...access, ALERT_WEBHOOK_URL: "https://ntfy.example/x" });
    const { code, err } = await isha("secrets init", { ACCESS_CLIENT_ID: "other" });
    expect(code).toBe(2);
    expect(err).toContain("must be set together");
  });

  it("with an operator's own admin key creates no first key", async () => {
    await isha("secrets init");
    await rm(file("worker-secrets.json"));
    await writeFile(file("admin-key"), "dev-admin\n", { mode: 0o600 });
    await isha("secrets init");
    expect(Object.keys(await worker())).toEqual(["BOX_SECRET"]);
  });

  it("refuses a file that others can read, one that is damaged, and keys that differ", async () => {
    await isha("secrets init");
    await chmod(file("agent.env"), 0o644);
    const readable = await isha("secrets init");
    expect(readable.code).toBe(1);
    expect(readable.err).toContain(`chmod 600 ${file("agent.env")}`);
    await chmod(file("agent.env"), 0o600);
    await writeFile(file("worker-secrets.json"), "{", { mode: 0o600 });
    expect((await isha("secrets init")).err).toContain("is no JSON object of texts");
    await writeFile(file("worker-secrets.json"), "{}");
    await writeFile(file("llama-api-key"), "another-key\n");
    expect((await isha("secrets init")).err).toContain("have different keys");
    const named = await isha("secrets init --folder .isha");
    expect(named.err).toContain(`isha secrets rotate llama-api-key --folder ${join(home, ".isha")}\n`);
  });
});

describe("isha secrets rotate", () => {
  it("box-secret: boxes and edge accept both until it is finished", async () => {
    await isha("secrets init");
    const old = (await agentEnv())["BOX_SECRET"] ?? "";
    const { code, err } = await isha("secrets rotate box-secret");
    expect(code).toBe(0);
    const env = await agentEnv();
    expect(env["BOX_SECRET"]).not.toBe(old);
    expect(readAgentSettings(env).boxSecrets).toEqual([env["BOX_SECRET"], old]);
    expect(await worker()).toMatchObject({ BOX_SECRET: env["BOX_SECRET"], BOX_SECRET_PREVIOUS: old });
    // The agents must accept the new one before the edge sends it.
    expect(err.indexOf("pm2 reload isha-agent")).toBeLessThan(err.indexOf("wrangler secret bulk"));

    const again = await isha("secrets rotate box-secret");
    expect(again.code).toBe(1);
    expect(again.err).toContain("isha secrets rotate box-secret --finish");

    expect((await isha("secrets rotate box-secret --finish")).code).toBe(0);
    expect(readAgentSettings(await agentEnv()).boxSecrets).toEqual([env["BOX_SECRET"]]);
    expect(await worker()).toMatchObject({ BOX_SECRET: env["BOX_SECRET"], BOX_SECRET_PREVIOUS: "" });
    expect((await isha("secrets rotate box-secret --finish")).err).toContain("No rotation");
  });

  it("llama-api-key: both files get the new one", async () => {
    await isha("secrets init");
    const old = (await text("llama-api-key")).trim();
    const { code, err } = await isha("secrets rotate llama-api-key");
    expect(code).toBe(0);
    const now = (await text("llama-api-key")).trim();
    expect(now).not.toBe(old);
    expect((await agentEnv())["LLAMA_API_KEY"]).toBe(now);
    expect(err).toContain("pm2 restart all");
    expect((await isha("secrets rotate llama-api-key --finish")).code).toBe(2);
  });

  it("of another folder names no step that would put its secrets into production, or stop production's boxes", async () => {
    await isha("secrets init --folder .isha-staging");
    const folder = join(home, ".isha-staging");
    const rotate = (words: string) => isha(`secrets rotate ${words} --folder .isha-staging`);
    const begun = await rotate("box-secret");
    const again = await rotate("box-secret");
    const finished = await rotate("box-secret --finish");
    const llamaKey = await rotate("llama-api-key");
    expect([begun, again, finished, llamaKey].map(({ code }) => code)).toEqual([0, 1, 0, 0]);
    const bulk = `npx wrangler secret bulk ${folder}/worker-secrets.json --env staging`;
    for (const { err } of [begun, finished]) expect(err).toContain(bulk);
    for (const { err } of [begun, again])
      expect(err).toContain(`secrets rotate box-secret --finish --folder ${folder}`);
    for (const { err } of [begun, finished, llamaKey]) {
      expect(err).toContain(`agent.env and llama-api-key with those in ${folder}.`);
      expect(err).not.toMatch(/production|scp|box1|each box/);
    }
    expect(llamaKey.err).not.toContain("wrangler");
  });

  it.each(["", " --folder .isha"])("of the usual folder names production's steps:%s", async (folder) => {
    await isha("secrets init");
    const { err } = await isha(`secrets rotate box-secret${folder}`);
    expect(err).toContain("isha@box1:.isha/");
    expect(err).toContain(`npx wrangler secret bulk ${file("worker-secrets.json")} --env production`);
    const named = folder === "" ? "" : ` --folder ${join(home, ".isha")}`;
    expect(err).toContain(`secrets rotate box-secret --finish${named}\n`);
  });

  it("refuses without the files, and an unknown secret", async () => {
    const { code, err } = await isha("secrets rotate box-secret");
    expect(code).toBe(2);
    expect(err).toContain("isha secrets init\n");
    const named = await isha("secrets rotate box-secret --folder other");
    expect(named.err).toContain(`isha secrets init --folder ${join(home, "other")}\n`);
    expect((await isha("secrets rotate webhook")).code).toBe(2);
  });
});
