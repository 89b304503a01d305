// `isha status`, `isha box`, `isha alerts`: their requests, their output, and their confirmations.
import { createHash } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { FleetServerView, FleetView } from "../../../shared/fleet-view.ts";
import type { CommandContext } from "../../../cli/context.ts";
import { CommandFailure } from "../../../cli/failure.ts";
import shipped from "../../../fleet.config.ts";
import { fleetText } from "../../../shared/wire.ts";
import { ADMIN_KEY, AdminService } from "../support/admin-service.ts";
import { runHere } from "../support/run-isha.ts";

const AT = Date.parse("2026-11-23T03:00:00Z");

const service = new AdminService();
let url: string;
beforeAll(async () => {
  url = await service.start();
});
afterAll(() => service.stop());
beforeEach(() => {
  service.reset();
  service.fleet = fleet();
});

const isha = (line: string, given: Partial<CommandContext> = {}) =>
  runHere(line.split(" "), { env: { ISHA_URL: url, ISHA_ADMIN_KEY: ADMIN_KEY }, ...given });

function server(port: number, more: Partial<FleetServerView> = {}): FleetServerView {
  return {
    port,
    pm2: `llama-${port}`,
    model: `Model-${port}`,
    agents: [],
    state: "ready",
    why: "",
    since: AT,
    slots: 2,
    busy: 1,
    waiting: 3,
    places: 32,
    waitMs: null,
    tokensPerSecond: 31.46,
    firstTokenP50Ms: null,
    firstTokenP95Ms: null,
    gpuGib: 6.25,
    budgetGib: 6.4,
    restarts: 0,
    ...more,
  };
}

function box(name: string, servers: FleetServerView[], more: Partial<FleetView["boxes"][number]> = {}) {
  return {
    name,
    gpu: "a card",
    vramGib: 24,
    state: "up" as const,
    lastSeenAt: AT,
    version: "1.2.3",
    agents: 1,
    warning: null,
    gpus: null,
    servers,
    usageBehindMs: null,
    ...more,
  };
}

const fleet = (more: Partial<FleetView> = {}): FleetView => ({
  at: AT,
  boxes: [box("north", [server(9000), server(9001, { tokensPerSecond: null, gpuGib: null, waiting: 0 })])],
  traffic: { windowS: 300, byAgent: [], byCode: [], fallbacks: 0, recoveries: 0 },
  failures: [],
  events: [],
  alarms: [],
  ...more,
});

describe("status", () => {
  it("shows every server of every box: state, slots, queue, tokens per second, memory; a dash for unknown figures", async () => {
    const { out } = await isha("status");
    expect(out.slice(0, out.indexOf("\nFleet file"))).toBe(
      [
        "BOX    IS  PORT  MODEL       STATE  SLOTS  QUEUE  TOKENS/S  MEMORY (GiB)",
        "north  up  9000  Model-9000  ready    1/2   3/32      31.5       6.3/6.4",
        "north  up  9001  Model-9001  ready    1/2   0/32         –         –/6.4",
        "",
      ].join("\n"),
    );
  });

  it("shows alarms first with what to do, the reason for a server's state, and how long a box has been silent", async () => {
    service.fleet = fleet({
      boxes: [
        box("north", [server(9000, { state: "down", why: "nothing listens", busy: 0 })], {
          warning: "its fleet file is not the edge's",
        }),
        box("south", [server(9000, { state: "unknown", busy: 0, waiting: 0 })], {
          state: "silent",
          lastSeenAt: AT - 90_000,
          agents: 0,
        }),
        box("east", [], { state: "silent", lastSeenAt: null, agents: 0 }),
      ],
      alarms: [
        {
          id: "box-silent:south",
          since: AT - 90_000,
          text: "south is silent.",
          advice: "Check the box.",
        },
      ],
    });
    const { out } = await isha("status");
    expect(out).toMatch(
      /^ALARMS\n {2}south is silent\. \(began 1 min 30 s ago\)\n {4}Check the box\.\n\nBOX/,
    );
    expect(out).toMatch(/north +up +9000 +Model-9000 +down +0\/2 .* nothing listens\n/);
    expect(out).toMatch(/south +silent +9000 +Model-9000 +unknown +–\/2 +– /);
    expect(out).toContain("\nnorth: its fleet file is not the edge's.\n");
    expect(out).toContain("south last reported 1 min 30 s ago.\neast has never reported.\n");
  });

  it("lets no text from a box control the terminal, and fits its width", async () => {
    const why = `\u001b[2J${"x".repeat(200)}`;
    service.fleet = fleet({ boxes: [box("north", [server(9000, { state: "slow", why })])] });
    const written: string[] = [];
    const out = { write: (text: string) => void written.push(text), columns: 100, colours: false };
    await isha("status", { out });
    const text = written.join("");
    expect(text).not.toContain("\u001b");
    expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  it("compares the fleet files of this machine, the edge and the boxes", async () => {
    const local = createHash("sha256").update(fleetText(shipped)).digest("hex");
    const boxes = (hash: string | null) => [box("north", [], { fleetHash: hash })];
    service.fleet = fleet({ fleetHash: local, boxes: boxes(local) });
    const same = await isha("status");
    expect(same.out).toContain(
      `\nFleet file ${local.slice(0, 12)}: the same here, at the edge and on every box.\n`,
    );
    service.fleet = fleet({ fleetHash: local, boxes: boxes("f".repeat(64)) });
    const differing = (await isha("status")).out;
    expect(differing).toMatch(
      /The fleet files differ:\n {2}this machine +(\w{12})\n {2}edge +\1\n {2}north +f{12}\n/,
    );
    expect(differing).toContain("npm run deploy");
    service.fleet = fleet({ fleetHash: local, boxes: boxes(null) });
    expect((await isha("status")).out).toContain(`Fleet file ${local.slice(0, 12)}; unknown for north.\n`);
    const broken = () => Promise.reject(new CommandFailure(2, "The fleet file can't be read."));
    const without = await isha("status", { fleet: broken });
    expect(without).toMatchObject({
      code: 0,
      out: expect.stringContaining("unknown for this machine, north"),
    });
  });

  it("has the older name fleet too", async () => {
    expect((await isha("fleet")).out).toBe((await isha("status")).out);
  });

  it("--json prints the unchanged answer", async () => {
    expect(JSON.parse((await isha("status --json")).out)).toEqual(service.fleet);
  });
});

describe("box", () => {
  it.each([
    ["drain", "north takes no new calls; its current calls finish. Its agent received the command."],
    ["resume", "north takes calls again. Its agent received the command."],
  ])("%s sends the command and shows how many agents received it", async (command, text) => {
    const ran = await isha(`box ${command} north`);
    expect(ran).toMatchObject({ code: 0, err: "" });
    expect(ran.out).toContain(text);
    expect(service.requests).toMatchObject([
      { method: "POST", path: `/admin/boxes/north/${command}`, body: null },
    ]);
    service.linked = 0;
    expect((await isha(`box ${command} north`)).out).toContain(
      "the next one that links receives the command",
    );
    service.linked = 2;
    expect((await isha(`box ${command} north`)).out).toContain("Its 2 agents received the command.");
    expect(JSON.parse((await isha(`box ${command} north --json`)).out)).toEqual({ box: "north", agents: 2 });
  });

  it("restart asks first, names what would break, and needs a yes", async () => {
    const questions: string[] = [];
    const answering = (answer: string) => ({
      ask: async (question: string) => {
        questions.push(question);
        return answer;
      },
    });
    const refused = await isha("box restart north 9000", answering("n"));
    expect(refused).toMatchObject({ code: 1, out: "" });
    expect(refused.err).toContain("Nothing was restarted.");
    expect(questions).toEqual(["Restart 9000 on north (Model-9000, ready, 1 call running)? [y/N] "]);
    expect(service.requests.map(({ method }) => method)).toEqual(["GET"]);
    const done = await isha("box restart north 9000", answering("y"));
    expect(done.out).toContain("Requested a restart of 9000 on north.");
    expect(service.requests.at(-1)).toMatchObject({
      method: "POST",
      path: "/admin/boxes/north/servers/9000/restart",
    });
  });

  it("restart with --yes doesn't ask; without a terminal --yes is required", async () => {
    expect((await isha("box restart north 9000")).code).toBe(2);
    expect(service.requests).toEqual([]);
    expect((await isha("box restart north 9000 --yes")).code).toBe(0);
    expect(service.requests).toHaveLength(1);
  });

  it("that the fleet doesn't have: the service's message is printed", async () => {
    const ran = await isha("box drain nowhere");
    expect(ran.code).toBe(1);
    expect(ran.err).toContain("The fleet has no such box. There are: north. (404 not_found)");
  });

  it.each([
    "box drain",
    "box drain a/b",
    "box restart north",
    "box restart north 0 --yes",
    "box restart north x --yes",
  ])("%s is wrong usage, and nothing is sent", async (line) => {
    expect((await isha(line)).code).toBe(2);
    expect(service.requests).toEqual([]);
  });
});

describe("alerts test", () => {
  it("reports that the message was accepted, or prints the service's reason", async () => {
    const ran = await isha("alerts test");
    expect(ran).toMatchObject({ code: 0, err: "" });
    expect(ran.out).toContain("accepted the test message");
    const message = "No ALERT_WEBHOOK_URL is set, so no alarms are sent.";
    service.fault = { status: 400, body: JSON.stringify({ error: { message, code: "invalid_request" } }) };
    const unset = await isha("alerts test");
    expect(unset).toMatchObject({ code: 1, out: "" });
    expect(unset.err).toContain(`isha: ${message} (400 invalid_request)`);
  });
});

describe("audit --target", () => {
  it.each(["north", "north:9000"])("accepts a box or a server: %s", async (target) => {
    expect((await isha(`audit --target ${target}`)).code).toBe(0);
    expect(service.requests[0]?.query).toMatchObject({ target });
  });

  it.each(["a/b", `isha_3fA9kQ2mXw7b_${"x".repeat(60)}`])("refuses anything else: %s", async (target) => {
    expect((await isha(`audit --target ${target}`)).code).toBe(2);
    expect(service.requests).toEqual([]);
  });
});
