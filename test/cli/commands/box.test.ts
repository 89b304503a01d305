// `isha box`: its requests, its confirmations, and what it reports of the outcome.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { CommandContext } from "../../../cli/context.ts";
import { ADMIN_KEY, AdminService, refused } from "../support/admin-service.ts";
import { AT, box, fleet, server } from "../support/fleet.ts";
import { runHere } from "../support/run-isha.ts";

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

/** Requests that change something. */
const sent = (): string[] =>
  service.requests.filter(({ method }) => method !== "GET").map(({ method, path }) => `${method} ${path}`);

/** A terminal at which an operator gives one answer, and the questions asked there. */
function answering(answer: string): { questions: string[]; terminal: Partial<CommandContext> } {
  const questions: string[] = [];
  const ask = async (question: string): Promise<string> => {
    questions.push(question);
    return answer;
  };
  return { questions, terminal: { ask } };
}

describe("drain and resume", () => {
  it.each([
    [
      "drain north --yes",
      "north takes no new calls; its current calls finish. Its agent received the command.",
    ],
    ["resume north", "north takes calls again. Its agent received the command."],
  ])("%s sends the command and shows how many agents received it", async (command, text) => {
    const ran = await isha(`box ${command}`);
    expect(ran).toMatchObject({ code: 0, err: "" });
    expect(ran.out).toContain(text);
    expect(sent()).toEqual([`POST /admin/boxes/north/${command.split(" ")[0]}`]);
    service.linked = 0;
    expect((await isha(`box ${command}`)).out).toContain("the next one that links receives the command");
    service.linked = 2;
    expect((await isha(`box ${command}`)).out).toContain("Its 2 agents received the command.");
    expect(JSON.parse((await isha(`box ${command} --json`)).out)).toEqual({ box: "north", agents: 2 });
  });

  it("the last box that serves is drained only after a yes, and the question states the consequence", async () => {
    const no = answering("n");
    const cancelled = await isha("box drain north", no.terminal);
    expect(cancelled).toMatchObject({ code: 1, out: "" });
    expect(cancelled.err).toContain("Nothing was drained.");
    expect(no.questions).toEqual([
      "Drain north? No other box serves: until it is resumed, every new call is refused (503 draining). [y/N] ",
    ]);
    expect(sent()).toEqual([]);
    const done = await isha("box drain north", answering("y").terminal);
    expect(done).toMatchObject({ code: 0, err: "" });
    expect(done.out).toContain("Nothing is served now: until it is resumed, every new call is refused");
    expect(sent()).toEqual(["POST /admin/boxes/north/drain"]);
  });

  it("without a terminal, draining the last box needs --yes", async () => {
    const ran = await isha("box drain north");
    expect(ran.code).toBe(2);
    expect(ran.err).toContain("Add --yes to confirm it.");
    expect(sent()).toEqual([]);
  });

  it.each([
    ["down", box("south", [server(9000, { state: "down" })])],
    ["drained", box("south", [server(9000)], { state: "draining" })],
    ["silent", box("south", [server(9000, { state: "unknown" })], { state: "silent" })],
  ])("a box is the last one too if the other is %s", async (_, south) => {
    service.fleet = fleet({ boxes: [...fleet().boxes, south] });
    expect((await isha("box drain north")).code).toBe(2);
    expect(sent()).toEqual([]);
  });

  it("nothing is asked if another box serves, or the box is drained already", async () => {
    service.fleet = fleet({ boxes: [...fleet().boxes, box("south", [server(9000)])] });
    const ran = await isha("box drain north");
    expect(ran).toMatchObject({ code: 0, err: "" });
    expect(ran.out).not.toContain("Nothing is served");
    service.fleet = fleet({ boxes: [box("north", [server(9000)], { state: "draining" })] });
    expect((await isha("box drain north")).code).toBe(0);
  });
});

describe("status, of a drained box", () => {
  const drained = box("north", [server(9000)], { state: "draining", drainedAt: AT - 900_000 });

  it("states first that nothing is served, and how to resume it", async () => {
    service.fleet = fleet({ boxes: [drained] });
    const { out } = await isha("status");
    expect(out.split("\n")[0]).toBe("Nothing is served: north is drained. `isha box resume north`");
    expect(out).toContain("north was drained 15 min ago.");
  });

  it("doesn't, if another box serves", async () => {
    service.fleet = fleet({ boxes: [drained, box("south", [server(9000)])] });
    const { out } = await isha("status");
    expect(out).not.toContain("Nothing is served");
    expect(out).toContain("north was drained 15 min ago.");
  });
});

describe("restart", () => {
  it("asks first, names what would break, needs a yes, and prints how long it took", async () => {
    const no = answering("n");
    const cancelled = await isha("box restart north 9000", no.terminal);
    expect(cancelled).toMatchObject({ code: 1, out: "" });
    expect(cancelled.err).toContain("Nothing was restarted.");
    expect(no.questions).toEqual(["Restart 9000 on north (Model-9000, ready, 1 call running)? [y/N] "]);
    expect(sent()).toEqual([]);
    const done = await isha("box restart north 9000", answering("y").terminal);
    expect(done).toEqual({ code: 0, out: "restarted, ready after 9.1 s\n", err: "" });
    expect(sent()).toEqual(["POST /admin/boxes/north/servers/9000/restart"]);
  });

  it("with --yes doesn't ask; without a terminal --yes is required", async () => {
    expect((await isha("box restart north 9000")).code).toBe(2);
    expect(service.requests).toEqual([]);
    expect((await isha("box restart north 9000 --yes")).code).toBe(0);
    expect(service.requests).toHaveLength(1);
  });

  it("that fails exits with 1 and prints the service's reason", async () => {
    const reason = "9000 (Model-9000) on north was not restarted: PM2 on north has no process llama-9000.";
    service.restarted = refused(502, "upstream_failed", reason);
    const ran = await isha("box restart north 9000 --yes");
    expect(ran).toMatchObject({ code: 1, out: "" });
    expect(ran.err).toContain(`isha: ${reason} (502 upstream_failed)`);
  });

  it.each(["not-ready", null])(
    "whose outcome is %s exits with 1, and says where to look",
    async (outcome) => {
      const text = "9000 on north was restarted by an operator, but is not ready after 50 s";
      const advice = "Its log, on north: `pm2 logs llama-9000`.";
      const body = { box: "north", port: 9000, agents: 1, outcome, tookMs: null, text, advice };
      service.restarted = [202, body];
      const ran = await isha("box restart north 9000 --yes");
      expect(ran).toEqual({ code: 1, out: "", err: `isha: ${text}.\n${advice}\n` });
      const json = await isha("box restart north 9000 --yes --json");
      expect([json.code, JSON.parse(json.out)]).toEqual([1, body]);
    },
  );

  it("by a service of an earlier release, which reports no outcome, is said to be unknown", async () => {
    service.restarted = [202, { box: "north", agents: 1 }];
    const ran = await isha("box restart north 9000 --yes");
    expect(ran.code).toBe(1);
    expect(ran.err).toContain("doesn't report its outcome");
  });
});

it("a box that the fleet doesn't have: the service's message is printed", async () => {
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
