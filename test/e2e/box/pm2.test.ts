// A property that only PM2 shows: `pm2 reload isha-agent` under load, in which the new agent takes over on the same port while
// the old one finishes what it has, and no client may notice; and which server holds how much memory on the card.
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PROJECT_NODE, ROOT } from "../../../scripts/paths.ts";
import { until } from "../../support/until.ts";
import { epochOf } from "../support/boxes.ts";
import { callAgent, callFor, codeOf, figure, print, readStream } from "../support/agent-call.ts";
import { expectCalm, switchOn } from "../support/harmed-box.ts";
import { startPm2Box, type Pm2Box } from "../support/pm2-box.ts";

const RELOADS = 3;
/** Of each server; the wide fleet's. */
const SLOTS = 4;
const TOKENS_PER_SECOND = 200;

let box: Pm2Box;
beforeAll(async () => {
  box = await startPm2Box({
    fleet: "wide",
    switches: { tokensPerSecond: TOKENS_PER_SECOND, promptTokensPerSecond: 4_000 },
    agentEnv: (folder) => ({
      NVIDIA_SMI: JSON.stringify([PROJECT_NODE, join(ROOT, "test/sim/nvidia-smi.ts")]),
      NVIDIA_SMI_SIM: join(folder, "card.json"),
    }),
  });
});
afterAll(() => box?.stop());

/** How much each server holds, as the card's list of processes shows it. */
async function writeCard(heldMiB: (port: number) => number): Promise<void> {
  const pids = await box.pids();
  expect([...pids.keys()]).toEqual(box.ports);
  const processes = [...pids].map(([port, pid]) => ({ pid, memoryMiB: heldMiB(port) }));
  // Replaced as a whole, since the simulator may read it at any moment.
  const file = join(box.folder, "card.json");
  await writeFile(`${file}.new`, JSON.stringify({ processes }));
  await rename(`${file}.new`, file);
}

test("a server whose weights aren't on the card, by nvidia-smi, is slow, and its replica is preferred", async () => {
  const isSlow = async (port: number): Promise<boolean> =>
    (await figure(box, "isha_server_state", `port="${port}"`, 'state="slow"')) === 1;
  await writeCard((port) => (port === 8082 ? 300 : 6_800));
  await until(() => isSlow(8082), "8082 is slow");
  for (const port of box.ports) expect(await isSlow(port)).toBe(port === 8082);
  const body = { messages: [{ role: "user", content: "Patient complaint: cough" }] };
  for (let call = 0; call < 4; call++) {
    const answer = await callAgent(box, callFor(8082, { ports: [8082, 8080], set: { n_predict: 6 } }), {
      body,
    });
    expect(answer.headers["x-isha-port"]).toBe("8080");
  }
  await writeCard(() => 6_800);
});

/** Short streams go to this server without pause; the streams that span a reload are on the others. */
const QUICK = 8080;
const QUICK_CLIENTS = 2 * SLOTS;

/** Streams one chat. @returns what was wrong with it; null if it was whole */
async function stream(
  port: number,
  keyId: string,
  tokens: number,
  onWord = (): void => {},
): Promise<string | null> {
  const answer = await callAgent(
    box,
    callFor(port, { keyId, set: { n_predict: tokens }, deadlineMs: 300_000 }),
    {
      body: { messages: [{ role: "user", content: `Patient complaint: ${keyId}` }], ignore_eos: true },
      onPiece: (piece) => {
        if (piece.includes('"content":"')) onWord();
      },
    },
  );
  const { dones, errors } = readStream(answer.text);
  if (answer.status === 200 && answer.ended === "whole" && dones === 1 && errors.length === 0) return null;
  return `${answer.status} ${answer.ended} ${codeOf(answer)} ${errors.join()} ${answer.text.slice(0, 200)}`;
}

test("three reloads with twenty-four streams open: each stream is whole, and no client asks twice", async () => {
  const failures: string[] = [];
  let quick = 0;
  const load = { isOver: false };
  const quickClients = Array.from({ length: QUICK_CLIENTS }, async (_, number) => {
    while (!load.isOver) {
      const wrong = await stream(QUICK, `quick-${number}`, 40);
      if (wrong === null) quick += 1;
      else failures.push(wrong);
    }
  });
  const others = box.ports.filter((port) => port !== QUICK);
  const pace = (tokensPerSecond: number): Promise<unknown> =>
    Promise.all(others.map((port) => switchOn(box, port, { tokensPerSecond })));
  const epochs = new Set([await epochOf(box)]);
  for (let reload = 0; reload < RELOADS; reload++) {
    // Five minutes of text: none of these ends before the test lets it.
    await pace(1);
    let begun = 0;
    let ended = 0;
    const long = others.flatMap((port) =>
      Array.from({ length: SLOTS }, async (_, slot) => {
        let isBegun = false;
        const wrong = await stream(port, `long-${port}-${slot}`, 300, () => {
          if (!isBegun) begun += 1;
          isBegun = true;
        });
        ended += 1;
        if (wrong !== null) failures.push(wrong);
      }),
    );
    await until(() => begun === long.length, "every long stream has begun");
    const before = quick;
    const reloading = box.pm2("reload", "isha-agent");
    await until(async () => {
      const epoch = await epochOf(box);
      const isNew = !epochs.has(epoch);
      epochs.add(epoch);
      return isNew;
    }, "the new agent answers");
    const atHandover = quick;
    await until(
      () => quick + failures.length >= atHandover + 2 * QUICK_CLIENTS,
      "short streams go on at the new agent",
    );
    expect(ended).toBe(0);
    await pace(0);
    await Promise.all(long);
    await reloading;
    print("reload", { open: long.length + QUICK_CLIENTS, quickMeanwhile: quick - before });
  }
  load.isOver = true;
  await Promise.all(quickClients);
  expect(failures).toEqual([]);
  expect(epochs.size).toBe(RELOADS + 1);
  expect((await box.apps()).filter(({ name }) => name === "isha-agent")).toHaveLength(1);
  await expectCalm(box);
});
