// `isha fleet`, `isha box`, `isha alerts`: what they ask, what they show, and when they ask first.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { FleetServerView, FleetView } from "../../../shared/fleet-view.ts";
import type { CommandContext } from "../../../cli/context.ts";
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

describe("fleet", () => {
  it("shows every server of every box: state, slots, queue, tokens a second, memory; a dash where nobody knows", async () => {
    expect((await isha("fleet")).out).toBe(
      [
        "BOX    IS  PORT  MODEL       STATE  SLOTS  QUEUE  TOKENS/S  MEMORY (GiB)",
        "north  up  9000  Model-9000  ready    1/2   3/32      31.5       6.3/6.4",
        "north  up  9001  Model-9001  ready    1/2   0/32         –         –/6.4",
        "",
      ].join("\n"),
    );
  });

  it("shows alarms first with what to do, why a server isn't well, and since when a box is silent", async () => {
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
          text: "south has said nothing.",
          advice: "Look there.",
        },
      ],
    });
    const { out } = await isha("fleet");
    expect(out).toMatch(/^ALARMS\n {2}south has said nothing\. \(since 1 min ago\)\n {4}Look there\.\n\nBOX/);
    expect(out).toMatch(/north +up +9000 +Model-9000 +down +0\/2 .* nothing listens\n/);
    expect(out).toMatch(/south +silent +9000 +Model-9000 +unknown +–\/2 +– /);
    expect(out).toContain("\nnorth: its fleet file is not the edge's.\n");
    expect(out).toContain("south was last heard 1 min ago.\neast has never reported in.\n");
  });

  it("lets nothing that a box says steer the terminal, and fits it", async () => {
    const why = `\u001b[2J${"x".repeat(200)}`;
    service.fleet = fleet({ boxes: [box("north", [server(9000, { state: "slow", why })])] });
    const written: string[] = [];
    const out = { write: (text: string) => void written.push(text), columns: 100, colours: false };
    await isha("fleet", { out });
    const text = written.join("");
    expect(text).not.toContain("\u001b");
    expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  it("--json is the answer as it is", async () => {
    expect(JSON.parse((await isha("fleet --json")).out)).toEqual(service.fleet);
  });
});

describe("box", () => {
  it.each([
    ["drain", "north takes no further calls; those it has finish. Its agent was told."],
    ["resume", "north takes calls again. Its agent was told."],
  ])("%s orders it, and says whom it reached", async (order, words) => {
    const ran = await isha(`box ${order} north`);
    expect(ran).toMatchObject({ code: 0, err: "" });
    expect(ran.out).toContain(words);
    expect(service.asked).toMatchObject([
      { method: "POST", path: `/admin/boxes/north/${order}`, body: null },
    ]);
    service.linked = 0;
    expect((await isha(`box ${order} north`)).out).toContain("the next one that dials is told");
    service.linked = 2;
    expect((await isha(`box ${order} north`)).out).toContain("Its 2 agents were told.");
    expect(JSON.parse((await isha(`box ${order} north --json`)).out)).toEqual({ box: "north", told: 2 });
  });

  it("restart asks first, names what would break, and does it on a yes alone", async () => {
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
    expect(service.asked.map(({ method }) => method)).toEqual(["GET"]);
    const done = await isha("box restart north 9000", answering("y"));
    expect(done.out).toContain("PM2 was told to restart 9000 on north.");
    expect(service.asked.at(-1)).toMatchObject({
      method: "POST",
      path: "/admin/boxes/north/servers/9000/restart",
    });
  });

  it("restart with --yes asks nobody; without one at the terminal it needs that", async () => {
    expect((await isha("box restart north 9000")).code).toBe(2);
    expect(service.asked).toEqual([]);
    expect((await isha("box restart north 9000 --yes")).code).toBe(0);
    expect(service.asked).toHaveLength(1);
  });

  it("that the fleet doesn't have is told in the service's words", async () => {
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
  ])("%s is typed wrong and asks nothing", async (line) => {
    expect((await isha(line)).code).toBe(2);
    expect(service.asked).toEqual([]);
  });
});

describe("alerts test", () => {
  it("says that the message was taken, or in the service's words why not", async () => {
    const ran = await isha("alerts test");
    expect(ran).toMatchObject({ code: 0, err: "" });
    expect(ran.out).toContain("took the test message");
    const message = "No ALERT_WEBHOOK_URL is set, so alarms reach nobody.";
    service.fault = { status: 400, body: JSON.stringify({ error: { message, code: "invalid_request" } }) };
    const unset = await isha("alerts test");
    expect(unset).toMatchObject({ code: 1, out: "" });
    expect(unset.err).toContain(`isha: ${message} (400 invalid_request)`);
  });
});

describe("audit --target", () => {
  it.each(["north", "north:9000"])("takes a box or a server: %s", async (target) => {
    expect((await isha(`audit --target ${target}`)).code).toBe(0);
    expect(service.asked[0]?.query).toMatchObject({ target });
  });

  it.each(["a/b", `isha_3fA9kQ2mXw7b_${"x".repeat(60)}`])("takes nothing else: %s", async (target) => {
    expect((await isha(`audit --target ${target}`)).code).toBe(2);
    expect(service.asked).toEqual([]);
  });
});
