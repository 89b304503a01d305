// Chaos over real processes, under the real PM2, in the real box's shape: whatever befalls the servers, every call
// ends whole or says that it isn't. ISHA_TEST_SEED makes another storm.
import { afterAll, beforeAll, expect, test } from "vitest";
import { callAgent, callFor, codeOf, figure, print, readStream } from "../support/agent-call.ts";
import { takeReferences, Verdicts } from "../support/chaos-verdict.ts";
import { HARM_KINDS, storm } from "../support/chaos.ts";
import { expectCalm, leftOver, PACE } from "../support/harmed-box.ts";
import { allUp, startPm2Box, type Pm2Box } from "../support/pm2-box.ts";
import { until } from "../../support/until.ts";

const SEED = Number(process.env["ISHA_TEST_SEED"] ?? 20_261_123);
const POISON = "zyanide";

let box: Pm2Box;
beforeAll(async () => {
  box = await startPm2Box({
    fleet: "shipped",
    switches: { ...PACE, sigtermGraceMs: 700, dieOnWord: POISON },
  });
});
afterAll(() => box?.stop());

/** How often PM2 has started a server anew. */
async function restarts(): Promise<number> {
  return (await box.apps()).reduce((sum, { restarts }) => sum + restarts, 0);
}

test("64 streams through a storm: each whole and right, or with one permitted error; nothing leaks", async () => {
  const verdicts = new Verdicts(await takeReferences(box));
  const since = performance.now();
  await storm(box, { seed: SEED, lastMs: 40_000, stallMs: 16_500 }, verdicts);
  const stormMs = Math.round(performance.now() - since);
  print(`chaos, seed ${SEED}`, {
    stormMs,
    completeShare: verdicts.completeShare,
    ...verdicts.counts,
    continuations: await figure(box, "isha_recoveries_total", 'kind="continuation"'),
    replays: await figure(box, "isha_recoveries_total", 'kind="replay"'),
    restarts: await restarts(),
    wrong: verdicts.wrong,
  });
  expect(verdicts.wrongs).toEqual([]);
  expect(verdicts.completeShare).toBeGreaterThanOrEqual(0.95);
  const struck = HARM_KINDS.filter((kind) => (verdicts.counts[`harm: ${kind}`] ?? 0) > 0);
  expect(struck).toEqual(HARM_KINDS);
  await until(() => allUp(box), "every server is back");
  await expectCalm(box);
  print("chaos, afterwards", {
    idleMs: Math.round(performance.now() - since) - stormMs,
    free: await figure(box, "isha_slots", 'use="free"'),
    ...(await leftOver(box)),
  });
  expect(await figure(box, "isha_slots", 'use="free"')).toBe(10);
}, 180_000);

test("a prompt that kills its servers takes down two, once, and is told so", async () => {
  const before = await restarts();
  const body = { messages: [{ role: "user", content: `Patient complaint: ${POISON}` }] };
  const told = await callAgent(box, callFor(8080, { ports: [8080, 8082], fallbackPorts: [8081] }), { body });
  const codes = told.status === 200 ? readStream(told.text).errors : [codeOf(told)];
  expect(codes).toEqual(["upstream_failed"]);
  await until(() => allUp(box), "both are back");
  const fine = { messages: [{ role: "user", content: "Patient complaint: cough" }] };
  const next = await callAgent(box, callFor(8080, { ports: [8080, 8082] }), { body: fine });
  expect(readStream(next.text).dones).toBe(1);
  await expectCalm(box);
  expect(await restarts()).toBe(before + 2);
});
