// `npm run rehearse`: deploys a box in a folder tree by the steps of docs/deploy.md, breaks it in every way that
// `isha doctor` knows, and boots it. Real PM2, agent, edge and command; simulated llama-servers and nvidia-smi.
import { watchInterrupt } from "./stack/interrupt.ts";
import { BREAKAGES, endIntruder, rehearse, type Breakage } from "./rehearse/breakages.ts";
import { Difference, lastLines, openBox, type Box } from "./rehearse/box.ts";
import { makeTree } from "./rehearse/tree.ts";
import { COLD_BOOT, described, notFine, untilFine, WALK, type Stage, type Step } from "./rehearse/walk.ts";

const SEEN_WIDTH = 110;

const interrupt = watchInterrupt();
const passed = { steps: 0, faults: 0 };
const notRun: string[] = [];
const started = performance.now();
const isAsDocumented = await rehearsal();
const seconds = Math.round((performance.now() - started) / 1000);
console.log(
  interrupt.signal.aborted
    ? `\nInterrupted after ${seconds} s; everything has been ended.`
    : `\n${isAsDocumented ? "As documented" : "Different from the documents"}, after ${seconds} s.`,
);
for (const reason of notRun) console.log(`Not run: ${reason}.`);
console.log(`rehearsal: ${passed.steps} steps done, ${passed.faults} faults found and fixed`);
process.exit(interrupt.signal.aborted ? interrupt.exitCode() : isAsDocumented ? 0 : 1);

async function rehearsal(): Promise<boolean> {
  const box = openBox(await makeTree(), interrupt.signal);
  const stage: Stage = { edge: null, clientKey: "" };
  const isShort = process.argv.includes("--walk");
  try {
    for (const step of WALK.filter(({ isInTests }) => !(isShort && isInTests === true)))
      await rehearseStep(step, box, stage);
    for (const breakage of isShort ? [] : BREAKAGES) await rehearseFault(breakage, box, stage);
    for (const step of COLD_BOOT) await rehearseStep(step, box, stage);
    return true;
  } catch (error) {
    if (!interrupt.signal.aborted) await report(error, box, stage);
    return false;
  } finally {
    await Promise.allSettled([endIntruder(), stage.edge?.end()]);
    await box.end();
  }
}

async function rehearseStep({ name, run }: Step, box: Box, stage: Stage): Promise<void> {
  await show(name, () => run(box, stage));
  passed.steps += 1;
}

async function rehearseFault(breakage: Breakage, box: Box, stage: Stage): Promise<void> {
  const { name, impossible } = breakage;
  const reason = (await impossible?.(box)) ?? null;
  if (reason !== null) {
    notRun.push(`${name}, because ${reason}`);
    return;
  }
  await show(name, async () => {
    const seen = await rehearse(breakage, box, stage);
    await untilFine(box);
    return seen;
  });
  passed.faults += 1;
}

async function show(name: string, run: () => Promise<string>): Promise<void> {
  const before = performance.now();
  let seen = "";
  try {
    seen = await run();
  } catch (error) {
    seen = interrupt.signal.aborted ? "interrupted" : "DIFFERENT";
    throw error;
  } finally {
    const took = ((performance.now() - before) / 1000).toFixed(1);
    const short = seen.length > SEEN_WIDTH ? `${seen.slice(0, SEEN_WIDTH - 1)}…` : seen;
    console.log(`${took.padStart(6)} s  ${name.padEnd(40)}  ${short}`);
  }
}

async function report(error: unknown, box: Box, stage: Stage): Promise<void> {
  const what = error instanceof Difference ? error.message : String(error);
  const findings = described(notFine(box.lastFindings())) || "nothing wrong";
  const edge = stage.edge?.lines().join("\n") ?? "not started";
  console.error(
    `\n${what}\n\nisha doctor reported last: ${findings}\n\n${await lastLines(box)}\n--- edge\n${edge}`,
  );
}
