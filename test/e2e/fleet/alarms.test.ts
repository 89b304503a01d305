// Alarms over HTTP: real harms to real agents, posted to a real receiver. One message a change, one a recovery, none
// else, and nothing of a call in any of them.
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PROJECT_NODE, ROOT } from "../../../scripts/paths.ts";
import { startStack } from "../../../scripts/stack/stack.ts";
import type { FleetView } from "../../../shared/fleet-view.ts";
import { ALARM_AFTER_MS } from "../../../worker/fleet/alarms/conditions.ts";
import { examplesOf } from "../../cli/support/help-examples.ts";
import { runProgram } from "../../cli/support/run-isha.ts";
import { ask, type Stack } from "../support/ask.ts";
import { edgeBox, edgeView } from "../support/boxes.ts";
import { until } from "../../support/until.ts";

const HOT_C = 95;
const WORDS = "the patient's own words";

interface Message {
  readonly alarm: string;
  readonly state: string;
  readonly text: string;
  /** By the edge's clock: when the condition began. */
  readonly since: string;
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
  messages.push({ ...(JSON.parse(whole) as Message), whole });
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

/** Replaced as a whole, since the simulator may read it at any moment. */
async function card(box: string, temperature: number): Promise<void> {
  const file = join(folder, `${box}.json`);
  await writeFile(`${file}.new`, JSON.stringify({ gpus: [{ temperature }] }));
  await rename(`${file}.new`, file);
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

const received = (alarm: string, state: string): Promise<Message> =>
  until(() => found(alarm, state), `${alarm} ${state}`);

/** How long a condition had held when the edge raised its alarm, by the edge's own clock and record, in milliseconds. */
async function heldMs({ alarm, since, text }: Message): Promise<number> {
  const { events = [] } = (await edgeView(stack)) ?? {};
  const raised = events.find((event) => {
    const [, words] = /^alarm: (.*)$/.exec(event.text) ?? [];
    return words !== undefined && text.startsWith(words);
  });
  if (raised === undefined) throw new Error(`no event of ${alarm}`);
  return raised.at - Date.parse(since);
}

test("an operator's test reaches the receiver, once", async () => {
  for (const { line, first } of examplesOf("alarms")) expect(await isha(line)).toMatch(first);
  expect(messages).toMatchObject([{ alarm: "test", state: "raised" }]);
  expect(await isha("fleet")).toMatch(/north +up +9101 +Tiny-1B +ready/);
  messages.length = 0;
});

test("a hot card and a dead agent are one message each, not before their minute, and one each when they are over", async () => {
  await stack.killAgent("south");
  await card("north", HOT_C);
  const answer = await ask(stack, { messages: [{ role: "user", content: WORDS }] });
  expect(answer.status).toBe(200);
  const [hot, silent] = await Promise.all([
    received("heat:north", "raised"),
    received("box-silent:south", "raised"),
  ]);
  expect(await isha("fleet")).toMatch(/^ALARMS\n.*A card of north is at 95 °C/);
  const { alarms = [] } = (await edgeView(stack)) ?? {};
  expect(alarms.map(({ id }) => id).toSorted()).toEqual(["box-silent:south", "heat:north"]);
  // What is hot or silent for a moment raises no alarm.
  for (const raised of [hot, silent])
    expect(await heldMs(raised)).toBeGreaterThanOrEqual(ALARM_AFTER_MS.heat);

  await card("north", 60);
  await stack.startAgent("south");
  await Promise.all([received("heat:north", "recovered"), received("box-silent:south", "recovered")]);
  await until(async () => (await edgeBox(stack, "south"))?.state === "up", "south is up");
  expect((await edgeView(stack))?.alarms).toEqual([]);
  expect(messages.map(({ alarm, state }) => `${alarm} ${state}`).toSorted()).toEqual([
    "box-silent:south raised",
    "box-silent:south recovered",
    "heat:north raised",
    "heat:north recovered",
  ]);
  expect(hot.text).toContain(`A card of north is at ${HOT_C} °C. `);
  expect(JSON.stringify(messages)).not.toContain(WORDS);
});
