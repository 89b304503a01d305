// The journal where things go wrong for real: killed processes, disks that are full.
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

/** Starts the program, through a shell where its limits are to be set first. */
function runProgram(options: { calls?: number; everyMs?: number; limit?: string }): {
  said: string[];
  kill: () => Promise<void>;
  until: (line: RegExp) => Promise<string>;
} {
  const { calls = 0, everyMs = 0, limit = "true" } = options;
  const args = [process.execPath, PROGRAM, folder, String(calls), String(everyMs)];
  const child = spawn("bash", ["-c", `${limit}; exec "$@"`, "bash", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const said: string[] = [];
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (line) => said.push(line));
  const ended = Promise.all([once(lines, "close"), once(child, "exit")]);
  return {
    said,
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
    until(wanted) {
      return until(() => said.find((line) => wanted.test(line)), `a line like ${wanted}`);
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
  openUsageJournal({ folder, epoch: "successor", isAlive: isEpochAlive, now: Date.now });

describe("kill -9", () => {
  it.each(SEEDS.slice(0, 5))("loses no record whose write had returned (seed %i)", async (seed) => {
    const random = new SeededRandom(seed);
    const program = runProgram({ everyMs: random.below(2) });
    await program.until(/^end /);
    const next = successor();
    expect(await next.adopt()).toEqual([]);
    const lines = program.said.length + random.below(500);
    await until(() => program.said.length >= lines, "more calls");
    await program.kill();
    expect(await next.adopt()).toHaveLength(1);
    const calls = await allCalls(next);
    const told = new Map(calls.map((call) => [call.callId, call.outcome]));
    expect(told.size).toBe(calls.length);
    const started = program.said.filter((line) => line.startsWith("start ")).map((line) => line.slice(6));
    const ended = new Set(
      program.said.filter((line) => line.startsWith("end ")).map((line) => line.slice(4)),
    );
    expect(started.length).toBeGreaterThan(1);
    // The write it was killed in the middle of may stand there too: one start or one end that it didn't say.
    let unsaid = 0;
    for (const callId of started) {
      const outcome = told.get(callId);
      if (ended.has(callId)) expect(outcome).toBe("complete");
      else if (outcome === "complete") unsaid += 1;
      else expect(outcome).toBe("interrupted");
    }
    unsaid += calls.length - started.length;
    expect(unsaid).toBeLessThanOrEqual(1);
  });
});

describe("a disk that is full", () => {
  it("stops no call, cuts no line but its own, and is said to be (a real limit on the file)", async () => {
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
  it.skipIf(!canMount)("that has room again is written to again (a real one of 64 KiB)", async () => {
    mkdirSync(folder);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "none", folder]);
    try {
      const journal = successor();
      const filler = join(folder, "filler");
      journal.start(callStart("before"))(callEnd());
      for (let bytes = 65_536; bytes >= 1; bytes = Math.floor(bytes / 2)) fill(filler, bytes);
      // The file's own page still takes a few records.
      for (let at = 0; at < 60; at += 1) journal.start(callStart(`during-${at}`))(callEnd());
      expect(journal.state).toMatchObject({ state: "failing", reason: "ENOSPC", lost: 0 });
      rmSync(filler);
      await until(() => journal.state.state === "ok", "what waited to be written");
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

  it("keeps what it can in memory, counts what it can't, and never lets a start go without its end", async () => {
    const disk = failingDisk(folder);
    const journal = openUsageJournal({
      folder,
      epoch: "a-1",
      isAlive: () => true,
      now: () => 7,
      files: disk,
    });
    const endOpen = journal.start(callStart("open"));
    disk.broken = "ENOSPC";
    for (let at = 0; at < 3_000; at += 1) journal.start(callStart(`c${at}`))(callEnd());
    endOpen(callEnd());
    const { lost } = journal.state;
    expect(journal.state).toMatchObject({ state: "failing", since: 7, reason: "ENOSPC" });
    expect(lost).toBeGreaterThan(1_000);
    disk.broken = null;
    await until(() => journal.state.state === "ok", "what waited to be written");
    expect(journal.state).toMatchObject({ state: "ok", lost });
    await journal.sync();
    const calls = await allCalls(journal);
    expect(calls).toHaveLength(3_001 - lost);
    expect(calls.every((call) => call.outcome === "complete")).toBe(true);
    await journal.close();
  });

  it("that is never there at all leaves the agent serving", async () => {
    writeFileSync(folder, "not a folder");
    const journal = successor();
    journal.start(callStart("x"))(callEnd());
    expect(journal.state).toMatchObject({ state: "failing", reason: "EEXIST" });
    // Else it would make the folder once there is room for it, which is after this test.
    await journal.close();
  });

  it("that can't bring records to safety is said to be, and hands none of them out", async () => {
    const disk = failingDisk(folder);
    disk.unsafe = true;
    const journal = openUsageJournal({
      folder,
      epoch: "a-1",
      isAlive: () => true,
      now: () => 7,
      files: disk,
    });
    journal.start(callStart("x"))(callEnd());
    await until(() => journal.state.state === "failing", "a sync that fails");
    expect(journal.state).toMatchObject({ state: "failing", reason: "EIO" });
    expect(await journal.unacknowledged(10)).toBeNull();
    disk.unsafe = false;
    await until(() => journal.state.state === "ok", "a sync that succeeds");
    expect((await journal.unacknowledged(10))?.calls).toHaveLength(1);
  });
});

function fill(path: string, bytes: number): void {
  try {
    writeFileSync(path, Buffer.alloc(bytes), { flag: "a" });
  } catch {
    // Full for a piece of this size; a smaller one is tried next.
  }
}

/** A real folder that can be told to refuse, halfway through a record. */
function failingDisk(path: string): JournalFiles & { broken: string | null; unsafe: boolean } {
  const real = journalFolder(path);
  const disk = {
    ...real,
    broken: null as string | null,
    unsafe: false,
    write(fd: number, bytes: Buffer): number {
      if (disk.broken === null) return real.write(fd, bytes);
      if (bytes.length > 100) return real.write(fd, bytes.subarray(0, 40));
      throw Object.assign(new Error("the disk refused"), { code: disk.broken });
    },
    async sync(fd: number): Promise<void> {
      if (disk.unsafe) throw Object.assign(new Error("the disk failed"), { code: "EIO" });
      return real.sync(fd);
    },
  };
  return disk;
}
