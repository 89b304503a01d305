// Chaos over real processes, under the real PM2, on a box like the real one with twice the slots: whatever happens to the servers, every call
// ends whole or with an error. ISHA_TEST_SEED makes another storm.
import { afterAll, beforeAll, expect, test } from "vitest";
import { callAgent, callFor, codeOf, figure, print, readStream } from "./agent-call.ts";
import { takeReferences, Verdicts } from "./chaos-verdict.ts";
import { HARM_KINDS, storm } from "./chaos.ts";
import { expectCalm, PACE } from "./harmed-box.ts";
import { allUp, startPm2Box, type Pm2Box } from "./pm2-box.ts";
import { until } from "../../support/until.ts";

const SEED = Number(process.env["ISHA_TEST_SEED"] ?? 20_261_123);
const POISON = "zyanide";

let box: Pm2Box;
beforeAll(async () => {
  box = await startPm2Box({
    fleet: "wide",
    // Several tokens an event, so that 64 streams are no load that a slow machine can't bear.
    switches: { ...PACE, tokensPerEvent: [1, 2, 5], sigtermGraceMs: 700, dieOnWord: POISON },
  });
});
afterAll(() => box?.stop());

/** How often PM2 has restarted a server. */
async function restarts(): Promise<number> {
  return (await box.apps()).reduce((sum, { restarts }) => sum + restarts, 0);
}

test("64 streams through a storm: each whole and right, or with one permitted error; nothing leaks", async () => {
  const verdicts = new Verdicts(await takeReferences(box));
  await storm(box, { seed: SEED, callsAHarm: 20 }, verdicts);
  print(`chaos, seed ${SEED}`, {
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
  expect(await figure(box, "isha_slots", 'use="free"')).toBe(20);
});

test("a prompt that kills its servers takes down two, once, and its client gets an error", async () => {
  const before = await restarts();
  const body = { messages: [{ role: "user", content: `Patient complaint: ${POISON}` }] };
  const answer = await callAgent(box, callFor(8080, { ports: [8080, 8082], fallbackPorts: [8081] }), {
    body,
  });
  const codes = answer.status === 200 ? readStream(answer.text).errors : [codeOf(answer)];
  expect(codes).toEqual(["upstream_failed"]);
  await until(async () => (await restarts()) >= before + 2, "PM2 has restarted both");
  await until(() => allUp(box), "both are back");
  const fine = { messages: [{ role: "user", content: "Patient complaint: cough" }] };
  const next = await callAgent(box, callFor(8080, { ports: [8080, 8082] }), { body: fine });
  expect(readStream(next.text).dones).toBe(1);
  await expectCalm(box);
  expect(await restarts()).toBe(before + 2);
});
