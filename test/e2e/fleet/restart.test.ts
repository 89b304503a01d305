// A restart that an operator orders at the edge, to its end: the link carries it to the box's agent, PM2 restarts
// that one process, and the answer, the event and the audit report the same outcome.
import { afterAll, beforeAll, expect, test } from "vitest";
import { argumentsOf, examplesOf, firstLine } from "../../cli/support/help-examples.ts";
import { runHere, runProgram } from "../../cli/support/run-isha.ts";
import { startStack } from "../../../scripts/stack/stack.ts";
import { print } from "../support/agent-call.ts";
import { startPm2Box, type Pm2Box } from "../support/pm2-box.ts";
import { type Stack } from "../support/ask.ts";
import { admin, edgeBox, edgeView } from "../support/boxes.ts";
import { until } from "../../support/until.ts";

const PORT = 8082;

let edge: Stack;
let box: Pm2Box;
beforeAll(async () => {
  const boxSecret = "a-box-secret-of-the-tests";
  edge = await startStack({ agents: false, boxSecret });
  box = await startPm2Box({
    fleet: "shipped",
    switches: { tokensPerSecond: 200, promptTokensPerSecond: 100_000 },
    agentEnv: () => ({ EDGE_URL: edge.edgeUrl }),
  });
  await until(async () => {
    const seen = await edgeBox(edge, box.box);
    return seen?.state === "up" && seen.servers.every(({ state }) => state === "ready");
  }, "the edge sees the box");
});
afterAll(async () => {
  await box?.stop();
  await edge?.stop();
});

test("a restart ordered at the edge restarts that server under PM2, and no other process", async () => {
  const before = await box.apps();
  const response = await admin(edge, "POST", `/boxes/${box.box}/servers/${PORT}/restart`);
  const outcome = (await response.json()) as { tookMs: number; text: string };
  expect(response.status).toBe(200);
  expect(outcome).toMatchObject({ box: box.box, port: PORT, agents: 1, outcome: "ready", advice: "" });
  const changed = async (): Promise<string[]> => {
    const now = new Map((await box.apps()).map((app) => [app.name, app]));
    return before.filter(({ name, pid }) => now.get(name)?.pid !== pid).map(({ name }) => name);
  };
  await until(async () => (await changed()).length > 0, "PM2 has restarted something");
  const event = async (): Promise<string | undefined> =>
    (await edgeView(edge))?.events.find(
      ({ port, text }) => port === PORT && text.includes("restarted by PM2"),
    )?.text;
  await until(async () => (await event()) !== undefined, "the edge shows it");
  await until(async () => {
    const server = (await edgeBox(edge, box.box))?.servers.find(({ port }) => port === PORT);
    return server?.state === "ready";
  }, "the server is up again");

  const restarted = await changed();
  const name = edge.fleet.boxes[0]?.servers.find(({ port }) => port === PORT)?.pm2;
  expect(restarted).toEqual([name]);
  const restarts = (await box.apps()).map((app) => [
    app.name,
    app.restarts - (before.find((one) => one.name === app.name)?.restarts ?? 0),
  ]);
  expect(restarts.filter(([, times]) => times !== 0)).toEqual([[name, 1]]);
  const { entries } = (await (await admin(edge, "GET", "/audit")).json()) as {
    entries: { action: string; target: string }[];
  };
  expect(entries[0]).toMatchObject({
    action: "server.restart",
    target: `${box.box}:${PORT}`,
    detail: { outcome: "ready", tookMs: outcome.tookMs },
  });
  expect((await edgeView(edge))?.events.map(({ text }) => text)).toContain(outcome.text);
  print("restart", { restarted, event: await event(), outcome: outcome.text });
});

test.each(examplesOf("box"))(
  "the help's example isha $line, at a terminal",
  async ({ line, first, code }) => {
    const env = { ISHA_URL: edge.edgeUrl, ISHA_ADMIN_KEY: "dev-admin" };
    const ran = await until(async () => {
      const ended = await runHere(argumentsOf(line), { env, ask: () => Promise.resolve("y") });
      // The last restart may have been less than 10 s ago.
      return !ended.err.includes("less than 10 s ago") && ended;
    }, line);
    expect(ran).toMatchObject({ code, err: "" });
    expect(firstLine(ran)).toMatch(first);
    print("example", { line, ran });
  },
);

test("a restart that PM2 can't carry out is refused with the reason, by the command too", async () => {
  const name = edge.fleet.boxes[0]?.servers.find(({ port }) => port === PORT)?.pm2 ?? "";
  await box.pm2("delete", name);
  const again = async () =>
    runProgram(["box", "restart", box.box, String(PORT), "--yes"], {
      env: { ISHA_URL: edge.edgeUrl, ISHA_ADMIN_KEY: "dev-admin" },
    });
  const ran = await until(async () => {
    const ended = await again();
    // Shortly after the restart above, another one is refused for that reason.
    return !ended.err.includes("less than 10 s ago") && ended;
  }, "the box accepts another restart");
  expect(ran).toMatchObject({ code: 1, out: "" });
  expect(ran.err).toContain(`PM2 on ${box.box} has no process ${name}`);
  print("a failed restart", ran.err);
});

test("a restart of a port that the box lacks is refused, and nothing is restarted", async () => {
  const before = await box.apps();
  const response = await admin(edge, "POST", `/boxes/${box.box}/servers/22/restart`);
  expect(response.status).toBe(404);
  expect(await box.apps()).toEqual(before);
});
