// Somebody is woken: real harms to real agents, told to a real receiver over HTTP. One message a change, one a
// recovery, none else, and nothing of a call in any of them.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PROJECT_NODE, ROOT } from "../../../scripts/paths.mjs";
import { startStack } from "../../../scripts/stack.mjs";
import type { FleetView } from "../../../shared/fleet-view.ts";
import { runProgram } from "../../cli/support/run-isha.ts";
import { ask, type Stack } from "../support/ask.ts";
import { print } from "../support/agent-call.ts";
import { edgeBox, edgeView } from "../support/boxes.ts";
import { until } from "../../support/until.ts";

/** A box may have been heard last so long before it was harmed. */
const HEARD_S = 15;
/** A minute and one look; twice that, since the machine may be busy. */
const WITHIN_MS = 150_000;
const HOT_C = 95;
const WORDS = "the patient's own words";

interface Message {
  readonly at: number;
  readonly alarm: string;
  readonly state: string;
  readonly text: string;
  readonly whole: string;
}

/** What listens at ALERT_WEBHOOK_URL. */
const messages: Message[] = [];
const receiver = createServer((request, response) => {
  void take(request).then(() => response.end());
});

async function take(request: IncomingMessage): Promise<void> {
  let whole = "";
  for await (const chunk of request.setEncoding("utf8")) whole += String(chunk);
  const { alarm, state, text } = JSON.parse(whole) as Message;
  messages.push({ at: performance.now(), alarm, state, text, whole });
}

let stack: Stack;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "isha-alarms-"));
  await Promise.all([card("north", 60), card("south", 60)]);
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  const { port } = receiver.address() as AddressInfo;
  // A card of each box's own.
  const ownCard = `NVIDIA_SMI_SIM="$CARDS/$ISHA_BOX.json" exec "$0" "$@"`;
  stack = await startStack({
    fleetFile: "test/fixtures/small-boxes.ts",
    vars: { ALERT_WEBHOOK_URL: `http://127.0.0.1:${port}/alarms` },
    agentEnv: {
      CARDS: folder,
      NVIDIA_SMI: JSON.stringify(["sh", "-c", ownCard, PROJECT_NODE, join(ROOT, "test/sim/nvidia-smi.ts")]),
    },
  });
  await until(async () => (await edgeView(stack))?.boxes.every(isWell) === true, "both boxes are well");
});
afterAll(async () => {
  await stack?.stop();
  await new Promise((resolve) => receiver.close(resolve));
  await rm(folder, { recursive: true });
});

const isWell = ({ state, gpus, servers }: FleetView["boxes"][number]): boolean =>
  state === "up" && gpus?.[0]?.temperatureC === 60 && servers.every((server) => server.state === "ready");

async function card(box: string, temperature: number): Promise<void> {
  await writeFile(join(folder, `${box}.json`), JSON.stringify({ gpus: [{ temperature }] }));
}

async function isha(line: string): Promise<string> {
  const { code, out, err } = await runProgram(line.split(" "), {
    env: { ISHA_URL: stack.edgeUrl, ISHA_ADMIN_KEY: "dev-admin" },
  });
  expect({ code, err }).toEqual({ code: 0, err: "" });
  return out;
}

const found = (alarm: string, state: string): Message | undefined =>
  messages.find((message) => message.alarm === alarm && message.state === state);

/** Seconds from `since` until the message came. */
async function told(alarm: string, state: string, since: number): Promise<number> {
  await until(async () => found(alarm, state) !== undefined, `${alarm} ${state}`);
  return Math.round(((found(alarm, state)?.at ?? 0) - since) / 100) / 10;
}

test("an operator's test reaches the receiver, once", async () => {
  expect(await isha("alerts test")).toContain("took the test message");
  expect(messages).toMatchObject([{ alarm: "test", state: "raised" }]);
  expect(await isha("fleet")).toMatch(/north +up +9101 +Tiny-1B +ready/);
  messages.length = 0;
});

test(
  "a hot card and a dead agent are one message each, and one each when they are over",
  async () => {
    await stack.killAgent("south");
    await card("north", HOT_C);
    const harmed = performance.now();
    const answer = await ask(stack, { messages: [{ role: "user", content: WORDS }] });
    expect(answer.status).toBe(200);
    const [hot, silent] = await Promise.all([
      told("heat:north", "raised", harmed),
      told("box-silent:south", "raised", harmed),
    ]);
    expect(await isha("fleet")).toMatch(/^ALARMS\n.*A card of north is at 95 °C/);
    const { alarms = [] } = (await edgeView(stack)) ?? {};
    expect(alarms.map(({ id }) => id).toSorted()).toEqual(["box-silent:south", "heat:north"]);

    await card("north", 60);
    await stack.startAgent("south");
    const mended = performance.now();
    const [cool, back] = await Promise.all([
      told("heat:north", "recovered", mended),
      told("box-silent:south", "recovered", mended),
    ]);
    await until(async () => (await edgeBox(stack, "south"))?.state === "up", "south is up");
    expect((await edgeView(stack))?.alarms).toEqual([]);
    print("alarms", { hotS: hot, silentS: silent, coolS: cool, backS: back });
    expect(messages.map(({ alarm, state }) => `${alarm} ${state}`).toSorted()).toEqual([
      "box-silent:south raised",
      "box-silent:south recovered",
      "heat:north raised",
      "heat:north recovered",
    ]);
    expect(found("heat:north", "raised")?.text).toContain(`A card of north is at ${HOT_C} °C. `);
    expect(JSON.stringify(messages)).not.toContain(WORDS);
    // Nothing before its time: what was hot or silent a moment wakes nobody, and neither does what is well for one.
    for (const seconds of [hot, silent]) expect(seconds).toBeGreaterThan(60 - HEARD_S);
    for (const seconds of [cool, back]) expect(seconds).toBeGreaterThan(15 - HEARD_S);
  },
  2 * WITHIN_MS + 20_000,
);
