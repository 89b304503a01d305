// The journal with real faults: killed processes and full disks.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { journalFolder, type JournalFiles } from "../../../origin-agent/usage/files.ts";
import type { UsageCall } from "../../../shared/usage.ts";
import { isEpochAlive } from "../../../origin-agent/usage/process-epoch.ts";
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

const successor = (): UsageJournal => openUsageJournal({ folder, epoch: "successor", isAlive: isEpochAlive });

describe("kill -9", () => {
  it.each(SEEDS.slice(0, 5))("loses no record whose write has returned (seed %i)", async (seed) => {
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
    // The write during the kill may be there too: one start or one end that the program didn't print.
    let unprinted = 0;
    for (const callId of started) {
      const outcome = outcomes.get(callId);
      if (ended.has(callId)) expect(outcome).toBe("complete");
      else if (outcome === "complete") unprinted += 1;
      else expect(outcome).toBe("interrupted");
    }
    unprinted += calls.length - started.length;
    expect(unprinted).toBeLessThanOrEqual(1);
  });
});

describe("a disk that is full", () => {
  it("stops no call, truncates only the last line, and is reported (a real limit on the file size)", async () => {
    const program = runProgram({ calls: 200, limit: "ulimit -f 8" });
    const state = JSON.parse((await program.until(/^state /)).slice(6)) as object;
    expect(state).toMatchObject({ state: "failing", reason: "EFBIG", lost: 0 });
    await program.kill();
    const next = successor();
    await next.adopt();
    const calls = await allCalls(next);
    expect(calls.length).toBeGreaterThan(10);
    expect(calls.slice(0, -2).every((call) => call.outcome === "complete")).toBe(true);
  });

  const canMount = spawnSync("unshare", ["-m", "true"]).status === 0;
  it.skipIf(!canMount)("that has free space again is written again (a real disk of 64 KiB)", async () => {
    mkdirSync(folder);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "none", folder]);
    try {
      const journal = successor();
      const filler = join(folder, "filler");
      journal.start(callStart("before"))(callEnd());
      for (let bytes = 65_536; bytes >= 1; bytes = Math.floor(bytes / 2)) fill(filler, bytes);
      // The file's last page still has space for a few records.
      for (let at = 0; at < 60; at += 1) journal.start(callStart(`during-${at}`))(callEnd());
      expect(journal.state).toMatchObject({ state: "failing", reason: "ENOSPC", lost: 0 });
      rmSync(filler);
      await until(() => journal.state.state === "ok", "the pending records to be written");
      expect(journal.state).toMatchObject({ state: "ok", reason: null, lost: 0 });
      journal.start(callStart("after"))(callEnd());
      await journal.sync();
      const calls = await allCalls(journal);
      expect(calls.map((call) => call.callId)).toEqual([
        "before",
        ...Array.from({ length: 60 }, (_, at) => `during-${at}`),
        "after",
      ]);
      await journal.close();
    } finally {
      execFileSync("umount", [folder]);
    }
  });

  it("leaves records in memory up to a limit, counts the rest as lost, and never separates a start from its end", async () => {
    const disk = failingDisk(folder);
    const journal = openUsageJournal({
      folder,
      epoch: "a-1",
      isAlive: () => true,
      files: disk,
    });
    const endOpen = journal.start(callStart("open"));
    disk.writeError = "ENOSPC";
    for (let at = 0; at < 3_000; at += 1) journal.start(callStart(`c${at}`))(callEnd());
    endOpen(callEnd());
    const { lost } = journal.state;
    expect(journal.state).toMatchObject({ state: "failing", reason: "ENOSPC" });
    expect(lost).toBeGreaterThan(1_000);
    disk.writeError = null;
    await until(() => journal.state.state === "ok", "the pending records to be written");
    expect(journal.state).toMatchObject({ state: "ok", lost });
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
    expect(journal.state).toMatchObject({ state: "failing", reason: "EEXIST" });
    // Otherwise it would create the folder later, after this test.
    await journal.close();
  });

  it("that can't sync is reported, and its records aren't returned", async () => {
    const disk = failingDisk(folder);
    disk.syncFails = true;
    const journal = openUsageJournal({
      folder,
      epoch: "a-1",
      isAlive: () => true,
      files: disk,
    });
    journal.start(callStart("x"))(callEnd());
    await until(() => journal.state.state === "failing", "a sync that fails");
    expect(journal.state).toMatchObject({ state: "failing", reason: "EIO" });
    expect(await journal.unacknowledged(10)).toBeNull();
    disk.syncFails = false;
    await until(() => journal.state.state === "ok", "a sync that succeeds");
    expect((await journal.unacknowledged(10))?.calls).toHaveLength(1);
  });
});

function fill(path: string, bytes: number): void {
  try {
    writeFileSync(path, Buffer.alloc(bytes), { flag: "a" });
  } catch {
    // Too full for a piece of this size; a smaller one is next.
  }
}

/** A real folder with switches for failed writes, in the middle of a record, and failed syncs. */
function failingDisk(path: string): JournalFiles & { writeError: string | null; syncFails: boolean } {
  const real = journalFolder(path);
  const disk = {
    ...real,
    writeError: null as string | null,
    syncFails: false,
    write(fd: number, bytes: Buffer): number {
      if (disk.writeError === null) return real.write(fd, bytes);
      if (bytes.length > 100) return real.write(fd, bytes.subarray(0, 40));
      throw Object.assign(new Error("the write failed"), { code: disk.writeError });
    },
    async sync(fd: number): Promise<void> {
      if (disk.syncFails) throw Object.assign(new Error("the sync failed"), { code: "EIO" });
      return real.sync(fd);
    },
  };
  return disk;
}
