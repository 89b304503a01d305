// What only PM2 can show: `pm2 reload isha-agent` under load, where the new agent takes over on the same port while
// the old one finishes what it has, and no client may notice; and whose memory on the card is whose.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PROJECT_NODE, ROOT } from "../../../scripts/paths.mjs";
import { callAgent, callFor, codeOf, figure, print, readStream } from "../support/agent-call.ts";
import { expectCalm } from "../support/harmed-box.ts";
import { startPm2Box, type Pm2Box } from "../support/pm2-box.ts";
import { until } from "../../support/until.ts";

const RELOADS = 3;
const CLIENTS = 24;
const TOKENS_PER_SECOND = 60;
/** Longer than five seconds of stream. */
const TOKENS = 320;

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

/** What the card's books say each server holds. */
async function writeCard(heldMiB: (port: number) => number): Promise<void> {
  const processes = await Promise.all(
    box.ports.map(async (port) => ({ pid: await box.pidOf(port), memoryMiB: heldMiB(port) })),
  );
  await writeFile(join(box.folder, "card.json"), JSON.stringify({ processes }));
}

test("a server whose weights aren't on the card, by nvidia-smi, is slow, and its replica is preferred", async () => {
  const isSlow = async (port: number): Promise<boolean> =>
    (await figure(box, "isha_server_state", `port="${port}"`, 'state="slow"')) === 1;
  await writeCard((port) => (port === 8082 ? 300 : 6_800));
  const since = performance.now();
  await until(() => isSlow(8082), "8082 is slow");
  const seenMs = Math.round(performance.now() - since);
  for (const port of box.ports) expect(await isSlow(port)).toBe(port === 8082);
  const body = { messages: [{ role: "user", content: "Patient complaint: cough" }] };
  for (let call = 0; call < 4; call++) {
    const told = await callAgent(box, callFor(8082, { ports: [8082, 8080], set: { n_predict: 6 } }), {
      body,
    });
    expect(told.headers["x-isha-port"]).toBe("8080");
  }
  await writeCard(() => 6_800);
  print("on the CPU, by nvidia-smi", { seenMs });
});

test("three reloads with twenty streams open fail nobody, and nobody asks twice", async () => {
  const failures: string[] = [];
  const agents = new Set<number>();
  const load = { over: false };
  let whole = 0;
  /** The clients whose stream has begun. */
  const open = new Set<number>();
  const clients = Array.from({ length: CLIENTS }, async (_, number) => {
    while (!load.over) {
      const port = box.ports[number % box.ports.length] ?? 0;
      const askedAt = performance.now();
      const told = await callAgent(
        box,
        callFor(port, { keyId: `key-${number}`, set: { n_predict: TOKENS } }),
        {
          body: {
            messages: [{ role: "user", content: `Patient complaint: cough ${number}` }],
            ignore_eos: true,
          },
          onPiece: () => void open.add(number),
        },
      );
      // A busy machine may be late to see its beginning.
      const tookMs = performance.now() - askedAt;
      open.delete(number);
      const stream = readStream(told.text);
      if (told.status !== 200 || told.ended !== "whole" || stream.dones !== 1 || stream.errors.length > 0)
        failures.push(
          `${told.status} ${told.ended} ${codeOf(told)} ${stream.errors.join()} ${told.text.slice(0, 200)}`,
        );
      else if (tookMs < 5_000) failures.push(`a stream of ${tookMs} ms is too short for this test`);
      else whole += 1;
    }
  });
  const openAtReload: number[] = [];
  for (let reload = 0; reload < RELOADS; reload++) {
    await until(() => open.size >= 20, "twenty streams are open");
    openAtReload.push(open.size);
    const before = (await box.apps()).find(
      ({ name, status }) => name === "isha-agent" && status === "online",
    );
    const reloading = box.pm2("reload", "isha-agent");
    if (reload === RELOADS - 1) {
      const enough = whole + CLIENTS;
      await until(() => whole + failures.length >= enough, "each client has had a whole stream meanwhile");
      load.over = true;
    }
    await reloading;
    const after = (await box.apps()).find(({ name, status }) => name === "isha-agent" && status === "online");
    expect(after?.pid).not.toBe(before?.pid);
    for (const app of [before, after]) if (app !== undefined) agents.add(app.pid);
  }
  load.over = true;
  await Promise.all(clients);
  print("reloads", { openAtReload, agents: agents.size, whole, failed: failures.length });
  expect(failures).toEqual([]);
  expect(agents.size).toBe(RELOADS + 1);
  await expectCalm(box);
}, 120_000);
