// `isha generate`: the files for a box, what --diff reports, and what is refused.
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Validator } from "@cfworker/json-schema";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { generatedFiles } from "../../../cli/generate/files.ts";
import fleet from "../../../fleet.config.ts";
import { defineFleet, type FleetConfig } from "../../../shared/fleet.ts";
import { AGENT_KEEP_ALIVE_MS } from "../../../shared/limits.ts";
import { runHere } from "../support/run-isha.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "isha-generate-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const TUNNEL = {
  id: "6ff42ae2-765d-4adf-8112-31c55c1551ef",
  access: { teamName: "clinic", audTag: "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2" },
};

const withBox = (change: Partial<FleetConfig["boxes"][number]>): FleetConfig =>
  defineFleet({ ...fleet, boxes: fleet.boxes.map((box) => ({ ...box, ...change })) });

const tunnelled = withBox({ tunnel: TUNNEL });

function textOf(from: FleetConfig, name: string): string {
  const [box] = from.boxes;
  if (box === undefined) throw new Error("the fleet has no box");
  return generatedFiles(box, { fleetFile: null }).find(({ path }) => path.endsWith(name))?.text ?? "";
}

const isha = (line: string, given: Parameters<typeof runHere>[1] = {}) =>
  runHere(line.split(" "), { folder, fleet: () => Promise.resolve(tunnelled), ...given });

describe("cloudflared's configuration", () => {
  it("sends the box's hostname to the agent, nothing else, and requires Access", () => {
    expect(parse(textOf(tunnelled, "cloudflared.yml"))).toEqual({
      tunnel: TUNNEL.id,
      "credentials-file": `/etc/cloudflared/${TUNNEL.id}.json`,
      "grace-period": "180s",
      ingress: [
        {
          hostname: "box1.isha.buzz",
          service: "http://127.0.0.1:8000",
          originRequest: {
            connectTimeout: "5s",
            keepAliveTimeout: "90s",
            access: { required: true, teamName: "clinic", audTag: [TUNNEL.access.audTag] },
          },
        },
        { service: "http_status:404" },
      ],
    });
    expect(AGENT_KEEP_ALIVE_MS).toBeGreaterThan(90_000);
  });

  it("without Access states what that means; without a tunnel there is none", () => {
    const open = textOf(withBox({ tunnel: { id: TUNNEL.id } }), "cloudflared.yml");
    expect(open).toContain("only the box's token protects the agent");
    const [rule] = (parse(open) as { ingress: { originRequest: object }[] }).ingress;
    expect(Object.keys(rule?.originRequest ?? {})).toEqual(["connectTimeout", "keepAliveTimeout"]);
    expect(textOf(fleet, "cloudflared.yml")).toBe("");
  });

  it("is stopped by systemd only after its grace period", () => {
    const unit = textOf(tunnelled, "cloudflared.service");
    expect(unit).toContain("\nTimeoutStopSec=200\n");
    expect(unit).toContain(
      "\nExecStart=/usr/bin/cloudflared --no-autoupdate --config /etc/cloudflared/config.yml tunnel run\n",
    );
    expect(unit.match(/^\[\w+\]$/gm)).toEqual(["[Unit]", "[Service]", "[Install]"]);
  });

  it.each([{ id: "box1" }, { id: TUNNEL.id, access: { teamName: "a b", audTag: TUNNEL.access.audTag } }])(
    "is not made from a wrong field: %j",
    (tunnel) => {
      expect(() => withBox({ tunnel })).toThrow(/boxes\[0\]\.tunnel\./);
    },
  );
});

describe("the other files", () => {
  it("logrotate has the folder of PM2's logs of the box's user", () => {
    const text = textOf(fleet, "logrotate");
    expect(text).toContain("/home/isha/.pm2/logs/*.log {");
    expect(text).toMatch(/\n {8}su isha isha\n[^]*\n {8}copytruncate\n}\n$/);
  });

  it("the JSON schema accepts the shipped fleet file and names a fault's field", () => {
    const schema = JSON.parse(textOf(fleet, "fleet.schema.json")) as object;
    const validator = new Validator(schema, "2020-12", false);
    expect(validator.validate(fleet).valid).toBe(true);
    const { unknownModel: _, ...withDefault } = fleet;
    expect(validator.validate(withDefault).valid).toBe(true);
    const { valid, errors } = validator.validate({ ...fleet, defaultPort: "8080" });
    expect(valid).toBe(false);
    expect(errors.map(({ instanceLocation }) => instanceLocation)).toContain("#/defaultPort");
  });
});

describe("isha generate", () => {
  it("writes all files, and the second time none", async () => {
    const { code, out } = await isha("generate --out files");
    expect(code).toBe(0);
    expect(out.match(/^written {4}/gm)).toHaveLength(5);
    expect((await readdir(join(folder, "files"), { recursive: true })).toSorted()).toEqual([
      "deploy",
      "deploy/box1",
      "deploy/box1/cloudflared.service",
      "deploy/box1/cloudflared.yml",
      "deploy/box1/logrotate",
      "deploy/fleet.schema.json",
      "ecosystem.config.cjs",
    ]);
    expect((await isha("generate --out files")).out.match(/^unchanged /gm)).toHaveLength(5);
  });

  it("--diff shows what would change, writes nothing, and ends with 1 only then", async () => {
    const fresh = await isha("generate --diff --out files");
    expect(fresh.code).toBe(1);
    expect(fresh.out).toContain("deploy/box1/cloudflared.yml (new)\n");
    expect(await readdir(folder)).toEqual([]);
    await isha("generate --out files");
    expect(await isha("generate --diff --out files")).toMatchObject({ code: 0, err: "" });
    const path = join(folder, "files/deploy/box1/cloudflared.yml");
    const edited = (await readFile(path, "utf8")).replace("180s", "30s");
    await writeFile(path, edited);
    const changed = await isha("generate --diff --out files");
    expect(changed.code).toBe(1);
    expect(changed.out).toContain("\n-grace-period: 30s\n+grace-period: 180s\n");
    expect(changed.err).toContain("1 of 5 files would change.");
    expect(await readFile(path, "utf8")).toBe(edited);
  });

  it("without a tunnel in the fleet file reports how to get one", async () => {
    const { code, err } = await isha("generate --out files", { fleet: () => Promise.resolve(fleet) });
    expect(code).toBe(0);
    expect(err).toContain("cloudflared tunnel create");
  });

  it("refuses an unknown box, and leaves nothing behind if a folder can't be written", async () => {
    expect(await isha("generate --box nowhere --out files")).toMatchObject({ code: 2 });
    await writeFile(join(folder, "files"), "a file");
    const { code, err } = await isha("generate --out files");
    expect(code).toBe(1);
    expect(err).toMatch(/ecosystem\.config\.cjs can't be written \((ENOTDIR|EEXIST)\)/);
    expect(await readdir(folder)).toEqual(["files"]);
  });

  it("--ask-binary refuses flags that the box's llama-server lacks, and writes nothing", async () => {
    const binary = join(folder, "llama-server");
    await writeFile(binary, "#!/bin/sh\necho '--host HOST  address'\necho '--port PORT  port'\n");
    const given = { fleet: () => Promise.resolve(withBox({ llamaServerBin: binary })) };
    const unreadable = await isha("generate --ask-binary --out files", given);
    expect(unreadable.code).toBe(1);
    expect(unreadable.err).toContain("can't be asked for its flags");
    await chmod(binary, 0o755);
    const { code, err } = await isha("generate --ask-binary --out files", given);
    expect(code).toBe(1);
    expect(err).toContain("doesn't know --slots");
    expect(await readdir(folder)).toEqual(["llama-server"]);
  });

  it("refuses flags that would make a server sleep or route", async () => {
    const servers = fleet.boxes.flatMap((box) => box.servers);
    for (const flags of [
      ["--sleep-idle-seconds", "60"],
      ["--models-dir", "/srv"],
      ["--models-preset", "x.ini"],
      ["--models-max", "2"],
      ["--models-autoload"],
    ]) {
      const changed = withBox({ servers: servers.map((server) => ({ ...server, flags })) });
      const { code, err } = await isha("generate --out files", { fleet: () => Promise.resolve(changed) });
      expect([code, err]).toEqual([1, expect.stringContaining(`${flags[0] ?? ""} can't be set here`)]);
    }
  });
});
