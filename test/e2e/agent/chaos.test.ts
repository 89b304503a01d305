// Chaos over real processes, under the real PM2: whatever befalls the servers, every call ends whole or says that
// it isn't. ISHA_TEST_SEED makes another storm.
import { afterAll, beforeAll, expect, test } from "vitest";
import { callAgent, callFor, codeOf, print, readStream, until } from "./agent-call.ts";
import { completeShare, expectCalm, PACE, storm, takeReferences } from "./chaos.ts";
import { allUp, startPm2Box, type Pm2Box } from "./pm2-box.ts";

const SEED = Number(process.env["ISHA_TEST_SEED"] ?? 20_261_123);
const POISON = "zyanide";

let box: Pm2Box;
beforeAll(async () => {
  box = await startPm2Box({
    loadMs: 1_500,
    switches: { ...PACE, sigtermGraceMs: 700, dieOnWord: POISON },
  });
});
afterAll(() => box?.stop());

/** How often PM2 has started a server anew. */
async function restarts(): Promise<number> {
  return (await box.apps()).reduce((sum, { restarts }) => sum + restarts, 0);
}

test("64 streams through a storm: each whole and right, or with one permitted error; nothing leaks", async () => {
  const references = await takeReferences(box);
  const verdicts = await storm(box, { seed: SEED, lastMs: 20_000, stallMs: 16_500, references });
  print(`chaos, seed ${SEED}`, verdicts.counts);
  expect(verdicts.wrongs).toEqual([]);
  expect(completeShare(verdicts)).toBeGreaterThanOrEqual(0.95);
  await until(() => allUp(box), "every server is back");
  await expectCalm(box);
});

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
