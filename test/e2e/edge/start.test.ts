// `npm start` as its users run it: two boxes with cards, some traffic, a killed server and a killed agent that come back,
// a restart by an operator, and an end that leaves nothing.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "../../../scripts/stack/ports.ts";
import { FleetView, type FleetBoxView } from "../../../shared/fleet-view.ts";
import { runProgram } from "../../cli/support/run-isha.ts";
import { isAlive } from "../../origin-agent/support/is-alive.ts";
import { until } from "../../support/until.ts";

let child: ChildProcess;
let edge: string;
let out = "";
beforeAll(async () => {
  const [edgePort, agentPort] = [await freePort(), await freePort()];
  edge = `http://127.0.0.1:${edgePort}`;
  child = spawn(process.execPath, ["scripts/start.ts", "--boxes", "2", "--traffic"], {
    env: { ...process.env, EDGE_PORT: String(edgePort), AGENT_PORT: String(agentPort) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => (out += text));
  }
  await until(() => out.includes("Ctrl-C ends all of it.") || child.exitCode !== null, "npm start runs");
  expect(out).toContain("Ctrl-C ends all of it.");
});
afterAll(async () => {
  if (child.exitCode !== null) return;
  child.kill("SIGINT");
  await once(child, "close");
});

async function view(): Promise<FleetView> {
  const answer = await fetch(`${edge}/admin/fleet`, { headers: { authorization: "Bearer dev-admin" } });
  return FleetView.parse(await answer.json());
}

const isha = (line: string): ReturnType<typeof runProgram> =>
  runProgram(line.split(" "), { env: { ISHA_URL: edge, ISHA_ADMIN_KEY: "dev-admin" } });

/** A pid on its screen. @param what the remark beside it */
const pidOf = (what: string): number => Number(new RegExp(`kill -9 (\\d+) +# .*${what}`).exec(out)?.[1]);

const isMeasured = ({ state, gpus, servers }: FleetBoxView): boolean =>
  state === "up" &&
  typeof gpus?.[0]?.powerWatts === "number" &&
  servers.every(({ gpuGib, budgetGib }) => gpuGib !== null && Math.abs(gpuGib - budgetGib) < 0.05);

test("two boxes have a card with the memory of each server, marked as simulated, and calls", async () => {
  const boxes = await until(async () => {
    const { boxes, traffic } = await view();
    const calls = traffic.byAgent.reduce((sum, agent) => sum + agent.calls, 0);
    return boxes.every(isMeasured) && calls > 0 ? boxes : undefined;
  }, "cards, memory by server and calls");
  expect(boxes.map(({ name, simulated }) => [name, simulated])).toEqual([
    ["box1", true],
    ["box2", true],
  ]);
  expect(await (await fetch(`${edge}/healthz`)).json()).toMatchObject({ status: "ok", simulated: true });
  expect((await isha("fleet")).out).toContain("box2 is simulated");
});

test("a killed server and a killed agent come back, and an operator restarts a server", async () => {
  process.kill(pidOf("on 8085"), "SIGKILL");
  process.kill(pidOf("the agent of box1"), "SIGKILL");
  await until(
    () => /The agent box1 is back/.test(out) && /The server box1:8085 is back/.test(out),
    "both are back",
  );
  await until(async () => {
    const { boxes } = await view();
    const server = boxes[0]?.servers.find(({ port }) => port === 8085);
    return boxes.every(isMeasured) && server?.state === "ready" && server.restarts === 1;
  }, "the server is ready again, was restarted once, and all is measured");
  const restarted = await isha("box restart box2 8080 --yes");
  expect(restarted).toMatchObject({ code: 0, err: "" });
});

test("the key of the README's sign-in asks a model", async () => {
  const answer = await fetch(`${edge}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: "Bearer dev-admin", "content-type": "application/json" },
    body: JSON.stringify({
      model: "Clinical",
      max_tokens: 4,
      messages: [{ role: "user", content: "Chest pain" }],
    }),
  });
  expect(answer.status).toBe(200);
});

test("Ctrl-C ends all of it", async () => {
  const pids = [...out.matchAll(/pid (\d+)/g)].map(([, pid]) => Number(pid));
  expect(pids.length).toBeGreaterThan(1);
  child.kill("SIGINT");
  await once(child, "close");
  expect(child.exitCode).toBe(0);
  expect(out.trimEnd().endsWith("Stopped.")).toBe(true);
  expect(pids.filter(isAlive)).toEqual([]);
});
