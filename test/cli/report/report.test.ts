// `isha report` on a machine with secrets and a log: what the file has, and that it isn't written with a secret in it.
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { defineFleet } from "../../../shared/fleet.ts";
import secondFleet from "../../fixtures/second-fleet.ts";
import { AdminService, secretOf } from "../support/admin-service.ts";
import { reservePorts } from "../support/reserved-ports.ts";
import { runHere, type Ran } from "../support/run-isha.ts";

const KEY = secretOf("3fA9kQ2mXw7b", 1);
const BOX_SECRET = "a-box-secret-of-the-test-0123456789";

const service = new AdminService();
let url = "";
beforeAll(async () => {
  url = await service.start();
});
afterAll(() => service.stop());

let home = "";
beforeEach(async () => {
  service.reset();
  home = await mkdtemp(join(tmpdir(), "isha-report-"));
  await mkdir(join(home, ".pm2/logs"), { recursive: true });
  await mkdir(join(home, ".isha"));
  await writeFile(join(home, ".isha/agent.env"), `BOX_SECRET=${BOX_SECRET}\n`, { mode: 0o600 });
  await log('{"level":30,"event":"call","port":9101,"ms":12}');
});
afterEach(() => rm(home, { recursive: true, force: true }));

const log = (line: string): Promise<void> =>
  writeFile(join(home, ".pm2/logs/isha-agent-out.log"), `${line}\n`);

async function isha(...words: string[]): Promise<Ran> {
  const reserved = await reservePorts(4);
  const [first = 0, ...ports] = reserved.ports;
  const fleet = defineFleet({
    ...secondFleet,
    defaultPort: ports[0] ?? 0,
    modelRouter: [],
    // No tunnel, so that no address outside this machine is called; no server runs on these ports.
    boxes: secondFleet.boxes.map((box) => ({
      ...box,
      origin: `http://127.0.0.1:${first}`,
      servers: box.servers.map((server, at) => ({ ...server, port: ports[at] ?? 0 })),
    })),
  });
  try {
    return await runHere(["report", ...words], {
      env: { ISHA_URL: url, ISHA_ADMIN_KEY: KEY, AGENT_PORT: String(first) },
      homeFolder: home,
      folder: home,
      fleet: () => Promise.resolve(fleet),
    });
  } finally {
    await reserved.release();
  }
}

const reports = async (): Promise<string[]> => (await readdir(home)).filter((name) => name.endsWith(".json"));

describe("isha report", () => {
  it("writes versions, fleet, state, the doctor's results and the agent's log, for its owner alone", async () => {
    const { code, out } = await isha();
    const [name = ""] = await reports();
    expect([code, out]).toEqual([0, expect.stringContaining(join(home, name))]);
    expect(name).toBe("isha-report-2026-11-23-14-30-00.json");
    expect((await stat(join(home, name))).mode & 0o777).toBe(0o600);
    const text = await readFile(join(home, name), "utf8");
    expect(text).not.toContain(BOX_SECRET);
    expect(text).not.toContain(KEY);
    const written = JSON.parse(text) as Record<string, unknown>;
    expect(written).toMatchObject({
      versions: { isha: "0.0.0", node: process.version },
      fleet: { domain: "models.example.org" },
      // The service refuses this key.
      status: { unavailable: expect.stringContaining("not valid"), code: "invalid_key" },
      doctor: expect.arrayContaining([expect.objectContaining({ check: "agent", verdict: "wrong" })]),
      agentLog: { lines: [{ level: 30, event: "call", port: 9101, ms: 12 }], leftOut: 0 },
    });
  });

  it.each([
    ["a secret of this machine", `{"event":"link","reason":"${BOX_SECRET}"}`, "BOX_SECRET"],
    ["the admin key", `{"event":"link","reason":"${KEY}"}`, "ISHA_ADMIN_KEY"],
    ["a canary", '{"event":"x","reason":"canary0123456789abcdef"}', "a prompt that isha doctor sent"],
  ])("writes nothing with %s in it, and names its place", async (_, line, what) => {
    await log(line);
    const { code, out, err } = await isha();
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain(`agentLog.lines[0].reason: ${what}`);
    expect(err).not.toContain(BOX_SECRET);
    expect(err).not.toContain(KEY);
    expect(await reports()).toEqual([]);
  });

  it("replaces no file", async () => {
    await writeFile(join(home, "mine.json"), "mine");
    expect((await isha("--out", "mine.json")).code).toBe(2);
    expect(await readFile(join(home, "mine.json"), "utf8")).toBe("mine");
  });
});
