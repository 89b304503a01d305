// An agent as far as its journal goes: begins and ends calls, and says of each what was written once the write
// returned. Arguments: folder, number of calls (0: endless), pause between two in ms.
import { writeSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { isEpochAlive, ownEpoch } from "../../../origin-agent/usage/process-epoch.ts";
import { openUsageJournal } from "../../../origin-agent/usage/journal.ts";
import { callEnd, callStart } from "./journal-calls.ts";

const [folder = "", calls = "0", everyMs = "0"] = process.argv.slice(2);
const journal = openUsageJournal({ folder, epoch: ownEpoch(), isAlive: isEpochAlive, now: Date.now });
const say = (line: string): void => void writeSync(1, `${line}\n`);

let endLast: (() => void) | null = null;
for (let at = 0; Number(calls) === 0 || at < Number(calls); at += 1) {
  const id = `${process.pid}.${at}`;
  const end = journal.start(callStart(id));
  say(`start ${id}`);
  // Two calls are open at any time, but for the first.
  endLast?.();
  endLast = () => {
    end(callEnd());
    say(`end ${id}`);
  };
  await pause(Number(everyMs));
}
say(`state ${JSON.stringify(journal.state)}`);
await pause(600_000);
