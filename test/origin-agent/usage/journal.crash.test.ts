// The journal with real faults: killed processes and full disks.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { endOfTurn } from "../../support/end-of-turn.ts";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import type { UsageCall } from "../../../shared/usage.ts";
import { isEpochAlive } from "../../../origin-agent/usage/process-epoch.ts";
import { JournalTables } from "../../../origin-agent/usage/tables.ts";
import { openUsageJournal, type UsageJournal } from "../../../origin-agent/usage/journal.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { until } from "../../support/until.ts";
import { callEnd, callStart } from "../support/journal-calls.ts";

const PROGRAM = fileURLToPath(new URL("../support/journal-program.ts", import.meta.url));

let parent = "";
let folder = "";
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "isha-journal-"));
  folder = join(parent, "journals");
});
afterEach(() => rmSync(parent, { recursive: true, force: true }));

/** Starts the program in a shell, which can set limits first. */
function runProgram(options: { calls?: number; everyMs?: number; limit?: string }): {
  output: string[];
  kill: () => Promise<void>;
  until: (line: RegExp) => Promise<string>;
} {
  const { calls = 0, everyMs = 0, limit = "true" } = options;
  const args = [process.execPath, PROGRAM, folder, String(calls), String(everyMs)];
  const child = spawn("bash", ["-c", `${limit}; exec "$@"`, "bash", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const output: string[] = [];
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (line) => output.push(line));
  const ended = Promise.all([once(lines, "close"), once(child, "exit")]);
  return {
    output,
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
    until(pattern) {
      return until(() => output.find((line) => pattern.test(line)), `a line like ${pattern}`);
    },
  };
}

async function allCalls(journal: UsageJournal): Promise<UsageCall[]> {
  const calls: UsageCall[] = [];
  for (;;) {
    const batch = await journal.unacknowledged(500);
    if (batch === null) return calls;
    calls.push(...batch.calls);
    await journal.acknowledge(batch.epoch, batch.calls.at(-1)?.seq ?? 0);
  }
}

const successor = (): UsageJournal =>
  openUsageJournal({ folder, epoch: "successor", isAlive: isEpochAlive, isAlone: () => false });

describe("kill -9", () => {
  it.each(SEEDS.slice(0, 5))("loses no record of a turn that has ended (seed %i)", async (seed) => {
    const random = new SeededRandom(seed);
    const program = runProgram({ everyMs: random.below(2) });
    await program.until(/^end /);
    const next = successor();
    expect(await next.adopt()).toEqual([]);
    const lines = program.output.length + random.below(500);
    await until(() => program.output.length >= lines, "more calls");
    await program.kill();
    expect(await next.adopt()).toHaveLength(1);
    const calls = await allCalls(next);
    const outcomes = new Map(calls.map((call) => [call.callId, call.outcome]));
    expect(outcomes.size).toBe(calls.length);
    const started = program.output.filter((line) => line.startsWith("start ")).map((line) => line.slice(6));
    const ended = new Set(
      program.output.filter((line) => line.startsWith("end ")).map((line) => line.slice(4)),
    );
    expect(started.length).toBeGreaterThan(1);
    // The transaction during the kill may be there too: one start and one end that the program didn't print.
    let unprinted = 0;
    for (const callId of started) {
      const outcome = outcomes.get(callId);
      if (ended.has(callId)) expect(outcome).toBe("complete");
      else if (outcome === "complete") unprinted += 1;
      else expect(outcome).toBe("interrupted");
    }
    unprinted += calls.length - started.length;
    expect(unprinted).toBeLessThanOrEqual(2);
    await next.close();
  });
});

describe("a disk that is full", () => {
  it("stops no call, and what it had is whole (a real limit on the file size)", async () => {
    const program = runProgram({ calls: 600, limit: "ulimit -f 256" });
    const state = JSON.parse((await program.until(/^state /)).slice(6)) as { state: string; reason: string };
    expect(state.state).toBe("failing");
    expect(["ENOSPC", "SQLITE_10"]).toContain(state.reason);
    await program.kill();
    const next = successor();
    await next.adopt();
    const calls = await allCalls(next);
    expect(calls.length).toBeGreaterThan(10);
    expect(calls.slice(0, -2).every((call) => call.outcome === "complete")).toBe(true);
    await next.close();
  });

  const canMount = spawnSync("unshare", ["-m", "true"]).status === 0;
  it.skipIf(!canMount)("that has free space again is written again (a real disk of 512 KiB)", async () => {
    mkdirSync(folder);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=512k", "none", folder]);
    try {
      const journal = successor();
      const filler = join(folder, "filler");
      journal.start(callStart("before"))(callEnd());
      await journal.sync();
      for (let bytes = 524_288; bytes >= 1; bytes = Math.floor(bytes / 2)) fill(filler, bytes);
      const during: string[] = [];
      while (journal.state.state === "ok") {
        during.push(`during-${during.length}`);
        journal.start(callStart(during.at(-1) ?? ""))(callEnd());
        await endOfTurn();
      }
      expect(journal.state).toEqual({ state: "failing", reason: "ENOSPC", lost: 0 });
      during.push("more");
      journal.start(callStart("more"))(callEnd());
      rmSync(filler);
      await until(() => journal.state.state === "ok", "the pending records to be written");
      expect(journal.state).toEqual({ state: "ok", reason: null, lost: 0 });
      journal.start(callStart("after"))(callEnd());
      await journal.sync();
      const calls = await allCalls(journal);
      expect(calls.map((call) => call.callId)).toEqual(["before", ...during, "after"]);
      await journal.close();
    } finally {
      execFileSync("umount", [folder]);
    }
  });

  it("leaves records in memory up to a limit, counts the rest as lost, and never separates a start from its end", async () => {
    const journal = successor();
    const endOpen = journal.start(callStart("open"));
    await journal.sync();
    const failing = vi.spyOn(JournalTables.prototype, "transaction").mockImplementation(() => {
      throw Object.assign(new Error("the write failed"), { errcode: 13 });
    });
    for (let at = 0; at < 3_000; at += 1) journal.start(callStart(`c${at}`))(callEnd());
    endOpen(callEnd());
    await endOfTurn();
    const { lost } = journal.state;
    expect(journal.state).toMatchObject({ state: "failing", reason: "ENOSPC" });
    expect(lost).toBeGreaterThan(1_000);
    failing.mockRestore();
    await until(() => journal.state.state === "ok", "the pending records to be written");
    await journal.sync();
    const calls = await allCalls(journal);
    expect(calls).toHaveLength(3_001 - lost);
    expect(calls.every((call) => call.outcome === "complete")).toBe(true);
    await journal.close();
  });

  it("that never exists doesn't stop the agent", async () => {
    writeFileSync(folder, "not a folder");
    const journal = successor();
    journal.start(callStart("x"))(callEnd());
    await endOfTurn();
    expect(journal.state).toMatchObject({ state: "failing", reason: "EEXIST" });
    // Otherwise it would create the folder later, after this test.
    await journal.close();
  });

  it("that can't sync is reported, and its records aren't returned", async () => {
    const journal = successor();
    journal.start(callStart("first"))(callEnd());
    await journal.sync();
    // The file handle that the journal syncs is of the same class.
    const handle = await open(join(folder, "usage.sqlite"), "r");
    const prototype = Object.getPrototypeOf(handle) as typeof handle;
    await handle.close();
    const failing = vi
      .spyOn(prototype, "datasync")
      .mockRejectedValue(Object.assign(new Error(), { code: "EIO" }));
    journal.start(callStart("x"))(callEnd());
    await until(() => journal.state.state === "failing", "a sync that fails");
    expect(journal.state).toMatchObject({ state: "failing", reason: "EIO" });
    expect((await journal.unacknowledged(10))?.calls).toHaveLength(1);
    failing.mockRestore();
    await until(() => journal.state.state === "ok", "a sync that succeeds");
    expect((await journal.unacknowledged(10))?.calls).toHaveLength(2);
    await journal.close();
  });
});

function fill(path: string, bytes: number): void {
  try {
    writeFileSync(path, Buffer.alloc(bytes), { flag: "a" });
  } catch {
    // Too full for a piece of this size; a smaller one is next.
  }
}
