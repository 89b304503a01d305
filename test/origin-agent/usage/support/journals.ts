// A folder with journals of several processes, new for each test; `journals()` is called once in a test file.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, onTestFinished } from "vitest";
import {
  openUsageJournal,
  type JournalOptions,
  type UsageJournal,
} from "../../../../origin-agent/usage/journal.ts";
import { endOfTurn } from "../../../support/end-of-turn.ts";
import { until } from "../../../support/until.ts";

export interface Journals {
  readonly folder: string;
  open(epoch: string, options?: Partial<JournalOptions>): UsageJournal;
  /** Simulates a kill at the end of a turn: everything is in the kernel, nothing closed. */
  kill(epoch: string): Promise<void>;
  files(): string[];
  /** Everything that is on the disk. */
  stored(): string;
}

export function journals(): Journals {
  let folder = "";
  /** Epochs whose process is running, according to `isAlive`. */
  let alive = new Set<string>();
  beforeEach(() => {
    folder = join(mkdtempSync(join(tmpdir(), "isha-journal-")), "journals");
    alive = new Set();
  });
  afterEach(() => rmSync(join(folder, ".."), { recursive: true, force: true }));
  const files = (): string[] => readdirSync(folder).sort();
  return {
    get folder() {
      return folder;
    },
    open(epoch, options = {}) {
      alive.add(epoch);
      const isAlive = (other: string): boolean => alive.has(other);
      const journal = openUsageJournal({ folder, epoch, isAlive, isAlone: () => true, ...options });
      onTestFinished(() => journal.close());
      return journal;
    },
    async kill(epoch) {
      await endOfTurn();
      alive.delete(epoch);
    },
    files,
    stored: () =>
      files()
        .map((name) => readFileSync(join(folder, name), "latin1"))
        .join(""),
  };
}

/** Reads and acknowledges all calls, `limit` at a time. */
export async function drained(journal: UsageJournal, limit = 100): Promise<string[]> {
  const lines: string[] = [];
  for (;;) {
    const batch = await journal.unacknowledged(limit);
    if (batch === null) return lines;
    lines.push(...batch.calls.map((call) => `${batch.epoch} ${call.callId} ${call.outcome}`));
    await journal.acknowledge(batch.epoch, batch.calls.at(-1)?.seq ?? 0);
  }
}

/** The next calls; they are returned once they are on the disk, half a second after they ended. */
export async function nextCalls(journal: UsageJournal): Promise<readonly string[]> {
  const batch = await until(() => journal.unacknowledged(100), "a call to be returned");
  return batch.calls.map((call) => call.callId);
}
