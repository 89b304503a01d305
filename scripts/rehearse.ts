// `npm run rehearse`: deploys a box in a folder tree by the steps of docs/deploy.md, breaks it in every way that
// `isha doctor` knows, and boots it. Real PM2, agent, edge and command; simulated llama-servers and nvidia-smi.
import { watchInterrupt } from "./stack/interrupt.ts";
import { BREAKAGES, endIntruder, rehearse } from "./rehearse/breakages.ts";
import { Difference, lastLines, openBox } from "./rehearse/box.ts";
import { makeTree } from "./rehearse/tree.ts";
import { COLD_BOOT, untilFine, WALK, type Stage, type Step } from "./rehearse/walk.ts";

const SEEN_WIDTH = 110;

const interrupt = watchInterrupt();
let passed = 0;
const started = performance.now();
const failed = await rehearsal();
const seconds = Math.round((performance.now() - started) / 1000);
const verdict = interrupt.signal.aborted
  ? "Interrupted; everything has been ended,"
  : failed
    ? "Different from the documents,"
    : "As documented,";
console.log(`\n${verdict} after ${seconds} s.\nrehearsal: ${passed} passed, ${failed ? 1 : 0} failed`);
process.exit(interrupt.signal.aborted ? interrupt.exitCode() : failed ? 1 : 0);

/** @returns whether something went otherwise than documented */
async function rehearsal(): Promise<boolean> {
  const box = openBox(await makeTree(), interrupt.signal);
  const stage: Stage = { edge: null, clientKey: "" };
  const isShort = process.argv.includes("--walk");
  try {
    for (const step of [...WALK, ...(isShort ? [] : broken()), ...COLD_BOOT])
      await show(step, () => step.run(box, stage));
    return false;
  } catch (error) {
    if (interrupt.signal.aborted) return true;
    const what = error instanceof Difference ? error.message : String(error);
    console.error(`\n${what}\n\n${await lastLines(box)}\n--- edge\n${stage.edge?.lines().join("\n") ?? ""}`);
    return true;
  } finally {
    await Promise.all([endIntruder(), stage.edge?.end()]);
    await box.end();
  }
}

function broken(): Step[] {
  return BREAKAGES.map((breakage) => ({
    name: breakage.name,
    async run(box, stage) {
      const reason = (await breakage.impossible?.(box)) ?? null;
      if (reason !== null) return `skipped: ${reason}`;
      const seen = await rehearse(breakage, box, stage);
      await untilFine(box);
      return seen;
    },
  }));
}

async function show({ name }: Step, run: () => Promise<string>): Promise<void> {
  const before = performance.now();
  let seen: string;
  try {
    seen = await run();
  } catch (error) {
    console.log(line(name, "DIFFERENT", before));
    throw error;
  }
  passed += 1;
  console.log(line(name, seen, before));
}

function line(name: string, seen: string, since: number): string {
  const took = ((performance.now() - since) / 1000).toFixed(1);
  const short = seen.length > SEEN_WIDTH ? `${seen.slice(0, SEEN_WIDTH - 1)}…` : seen;
  return `${took.padStart(6)} s  ${name.padEnd(40)}  ${short}`;
}
