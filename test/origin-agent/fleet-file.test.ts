// Starts the agent as the program that PM2 starts, with a fleet file that becomes invalid: it goes on with its last valid
// copy and reports the fault.
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { defineFleet, type FleetInput } from "../../shared/fleet.ts";
import { fleetText } from "../../shared/wire.ts";
import { boxInput, fleetInput } from "../shared/support/fleet-input.ts";
import { until } from "../support/until.ts";
import {
  agentPrograms,
  lineOf,
  portOf,
  type AgentPrograms,
  type RunningAgent,
} from "./support/agent-programs.ts";
import { TOKEN } from "./support/ask.ts";
import { startEdgeDouble, type EdgeDouble } from "./support/edge-double.ts";

const SHARED_FLEET = new URL("../../shared/fleet.ts", import.meta.url).href;
const VALID = fleetInput();
const INVALID = { ...VALID, boxes: [{ ...boxInput("north"), vramGib: -1 }] };
const hashOf = (fleet: FleetInput): string =>
  createHash("sha256")
    .update(fleetText(defineFleet(fleet)))
    .digest("hex");
const source = (fleet: object): string =>
  `import { defineFleet } from ${JSON.stringify(SHARED_FLEET)};\nexport default defineFleet(${JSON.stringify(fleet)});\n`;

let programs: AgentPrograms;
let edge: EdgeDouble;
beforeAll(async () => {
  edge = await startEdgeDouble();
  programs = await agentPrograms(1);
});
afterAll(async () => {
  await programs.end();
  await edge.close();
});

/** A box's own files: the fleet file, and what its agents keep. */
function box(name: string): {
  readonly file: string;
  readonly state: string;
  start(more?: Readonly<Record<string, string>>): RunningAgent;
} {
  const file = join(programs.folder, `${name}.ts`);
  const state = join(programs.folder, `state-of-${name}`);
  return { file, state, start: (more = {}) => programs.start({ ISHA_STATE: state, ...more }, `${name}.ts`) };
}

/** An agent that has run with a valid file, and whose file was replaced since. */
async function runOnce(name: string, then: string): Promise<ReturnType<typeof box>> {
  const own = box(name);
  await writeFile(own.file, source(VALID));
  const first = own.start();
  await portOf(first);
  await until(async () => (await readdir(own.state)).includes("last-fleet.json"));
  await first.kill();
  await writeFile(own.file, then);
  return own;
}

describe("an agent whose fleet file is invalid", () => {
  it("runs the last valid one, and names the field in its log, to the edge and at /fleet; the hash is of what it runs", async () => {
    const own = await runOnce("renamed", source(INVALID));
    const agent = own.start({ EDGE_URL: edge.url });
    const port = await portOf(agent);
    const fault = expect.stringContaining("boxes[0].vramGib: ") as string;
    expect(lineOf(agent, "fleet-file")).toMatchObject({
      fault,
      advice: expect.stringContaining(own.file) as string,
    });
    const [hello] = await edge.received("hello");
    expect(hello).toMatchObject({ fleetFault: fault, fleetHash: hashOf(VALID), servers: [{}, {}, {}] });
    const answer = await fetch(`http://127.0.0.1:${port}/fleet`, { headers: { "x-isha-token": TOKEN } });
    expect(await answer.json()).toMatchObject({ box: "north", fleetFault: fault });
    await agent.kill();
    expect(edge.faults).toEqual([]);
  });

  it("keeps the copy while the file stays invalid, and replaces it once the file is valid again", async () => {
    const own = await runOnce("corrected", "export default defineFleet({;\n");
    const copy = join(own.state, "last-fleet.json");
    const kept = await readFile(copy, "utf8");
    const invalid = own.start();
    await portOf(invalid);
    // A file that isn't even TypeScript.
    expect(String(lineOf(invalid, "fleet-file")?.["fault"])).not.toBe("");
    await invalid.kill();
    expect(await readFile(copy, "utf8")).toBe(kept);

    const changed = { ...VALID, domain: "changed.example.org" };
    await writeFile(own.file, source(changed));
    const valid = own.start();
    await portOf(valid);
    expect(lineOf(valid, "fleet-file")).toBeUndefined();
    await until(async () => (await readFile(copy, "utf8")) !== kept);
    expect(JSON.parse(await readFile(copy, "utf8"))).toMatchObject({ domain: "changed.example.org" });
    await valid.kill();
    expect((await readdir(own.state)).filter((name) => name.startsWith("last-fleet.json."))).toEqual([]);
  });

  it.each([
    ["no copy", null],
    ["a copy that isn't JSON", "{"],
    ["a copy that is invalid itself", JSON.stringify(INVALID)],
  ])("exits with the fault if it has %s", async (what, copy) => {
    const own = box(what.replaceAll(/\W/g, "-"));
    await writeFile(own.file, source(INVALID));
    if (copy !== null) {
      await mkdir(own.state);
      await writeFile(join(own.state, "last-fleet.json"), copy);
    }
    const agent = own.start();
    expect(await agent.exited).toEqual({ code: 1, signal: null });
    expect(agent.output()).toContain(own.file);
    expect(agent.output()).toContain("boxes[0].vramGib: ");
  });

  it("counts a plain object with a fault, and a file without a default export, as invalid", async () => {
    for (const [name, text, fault] of [
      ["plain", `export default ${JSON.stringify(INVALID)};\n`, "boxes[0].vramGib: "],
      ["empty", "export const fleet = {};\n", "default export"],
    ] as const) {
      const own = box(name);
      await writeFile(own.file, text);
      const agent = own.start();
      expect(await agent.exited).toEqual({ code: 1, signal: null });
      expect(agent.output()).toContain(fault);
    }
  });
});
