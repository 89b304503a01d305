// The checks of the operator's files: secrets and their modes, generated files, the fleet file that the edge is built with.
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkFleetFile, checkGeneratedFiles, checkSecretFiles } from "../../../cli/check/file-checks.ts";
import { PROJECT_ROOT, type Project } from "../../../cli/check/project.ts";
import { readEnvironments } from "../../../cli/check/wrangler.ts";
import { realMachine } from "../../../cli/doctor/machine.ts";
import fleet from "../../../fleet.config.ts";
import secondFleet from "../../fixtures/second-fleet.ts";
import { runHere } from "../support/run-isha.ts";

let folder = "";
let project: Project;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "isha-check-"));
  project = {
    root: folder,
    fleet,
    fleetFile: null,
    builtWith: null,
    environments: await readEnvironments(PROJECT_ROOT),
    secretFolder: join(folder, ".isha"),
    machine: realMachine({}, Date.now),
  };
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const { signal } = new AbortController();
const secret = (name: string): string => join(folder, ".isha", name);
const initSecrets = () => runHere(["secrets", "init"], { homeFolder: folder, folder });

describe("the secrets' files", () => {
  it("as isha secrets init creates them are fine; none at all can't be checked", async () => {
    expect(await checkSecretFiles(project)).toMatchObject({ verdict: "unknown", fix: "isha secrets init" });
    await initSecrets();
    expect(await checkSecretFiles(project)).toMatchObject({ verdict: "fine" });
  });

  it("are wrong if others can read one, or one lacks a required secret, or two differ; no secret is shown", async () => {
    await initSecrets();
    await chmod(secret("agent.env"), 0o640);
    expect(await checkSecretFiles(project)).toMatchObject({
      verdict: "wrong",
      fix: `chmod 600 ${secret("agent.env")}`,
    });
    await chmod(secret("agent.env"), 0o600);
    const worker = async (content: unknown): Promise<string> => {
      await writeFile(secret("worker-secrets.json"), JSON.stringify(content));
      const { verdict, text } = await checkSecretFiles(project);
      expect(verdict).toBe("wrong");
      return text;
    };
    expect(await worker({})).toContain("lacks BOX_SECRET");
    expect(await worker([])).toContain("no JSON object");
    const differing = await worker({ BOX_SECRET: "another-secret-of-the-box" });
    expect(differing).toContain("different values of BOX_SECRET");
    expect(differing).not.toContain("another-secret");
    expect(await worker({ BOX_SECRET: "x", DEV_KEYS: "1" })).toContain("DEV_KEYS");
  });

  it("lack the service token if the fleet file has tunnel.access", async () => {
    const tunnel = { id: "6ff42ae2-765d-4adf-8112-31c55c1551ef", access: { teamName: "t", audTag: "a" } };
    const boxes = fleet.boxes.map((box) => ({ ...box, tunnel }));
    const behindAccess = { ...project, fleet: { ...fleet, boxes } };
    await initSecrets();
    expect(await checkSecretFiles(project)).toMatchObject({ verdict: "fine" });
    expect(await checkSecretFiles(behindAccess)).toMatchObject({
      verdict: "wrong",
      text: expect.stringContaining("lacks ACCESS_CLIENT_ID, ACCESS_CLIENT_SECRET"),
      fix: expect.stringContaining("docs/deploy.md, step 4"),
    });
    // A box has no file with the Worker's secrets.
    await rm(secret("worker-secrets.json"));
    expect(await checkSecretFiles(behindAccess)).toMatchObject({ verdict: "fine" });
  });
});

describe("the generated files", () => {
  it("are fine as isha generate writes them, for any box; a change is found", async () => {
    expect(await checkGeneratedFiles(project, signal)).toMatchObject({
      verdict: "wrong",
      fix: "isha generate",
    });
    expect((await runHere(["generate", "--out", folder])).code).toBe(0);
    // With --out, the agent's folder is in the file.
    expect(await checkGeneratedFiles(project, signal)).toMatchObject({ verdict: "wrong" });
    const shipped = { ...project, root: PROJECT_ROOT };
    expect(await checkGeneratedFiles(shipped, signal)).toMatchObject({ verdict: "fine" });
    const other = await checkGeneratedFiles({ ...shipped, fleet: secondFleet }, signal);
    expect(other).toMatchObject({ verdict: "wrong", text: "out of date: ecosystem.config.cjs" });
    expect(other.fix).toContain("isha generate --diff");
  });
});

describe("the fleet file", () => {
  it("is wrong if the edge is built with another one", async () => {
    expect(await checkFleetFile(project)).toMatchObject({ verdict: "fine" });
    const same = { ...project, fleetFile: "/copy.ts", builtWith: structuredClone(fleet) };
    expect(await checkFleetFile(same)).toMatchObject({ verdict: "fine" });
    const other = { ...project, fleet: secondFleet, fleetFile: "/srv/other.ts", builtWith: fleet };
    const { verdict, text } = await checkFleetFile(other);
    expect([verdict, text]).toEqual(["wrong", expect.stringContaining("ISHA_FLEET (/srv/other.ts)")]);
  });
});
