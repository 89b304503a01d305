// A process that writes a journal: starts and ends calls, and prints each write once it is in the kernel. Arguments: folder,
// number of calls (0: endless), pause between two in ms.
import { writeSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { endOfTurn } from "../../support/end-of-turn.ts";
import { isEpochAlive, ownEpoch } from "../../../origin-agent/usage/process-epoch.ts";
import { openUsageJournal } from "../../../origin-agent/usage/journal.ts";
import { callEnd, callStart } from "./journal-calls.ts";

const [folder = "", calls = "0", everyMs = "0"] = process.argv.slice(2);
const epoch = ownEpoch();
const journal = openUsageJournal({ folder, epoch, isAlive: isEpochAlive, isAlone: () => false });
const print = (line: string): void => void writeSync(1, `${line}\n`);

let endLast: (() => string) | null = null;
for (let at = 0; Number(calls) === 0 || at < Number(calls); at += 1) {
  const id = `${process.pid}.${at}`;
  const end = journal.start(callStart(id));
  // Two calls are open at any time after the first start.
  const ended = endLast?.();
  endLast = () => {
    end(callEnd());
    return id;
  };
  await endOfTurn();
  print(`start ${id}`);
  if (ended !== undefined) print(`end ${ended}`);
  await pause(Number(everyMs));
}
print(`state ${JSON.stringify(journal.state)}`);
await pause(600_000);
