// The journal when something is wrong: another agent is frozen, the file is corrupt, its size limit is reached.
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it, onTestFinished } from "vitest";
import { JournalTables } from "../../../origin-agent/usage/tables.ts";
import { endOfTurn } from "../../support/end-of-turn.ts";
import { until } from "../../support/until.ts";
import { callEnd, callStart } from "../support/journal-calls.ts";
import { drained, journals, nextCalls } from "./support/journals.ts";

const own = journals();

describe("an agent that is frozen in a transaction", () => {
  const frozen = (): DatabaseSync => {
    const other = new DatabaseSync(join(own.folder, "usage.sqlite"));
    onTestFinished(() => other.close());
    other.exec("BEGIN IMMEDIATE");
    return other;
  };

  it("stops no call of another one, whose records wait in memory", async () => {
    const journal = own.open("a-1");
    const other = frozen();
    const sent: string[] = [];
    journal.start(callStart("x"), () => sent.push("x"))(callEnd());
    await endOfTurn();
    expect(sent).toEqual(["x"]);
    expect(journal.state.state).toBe("ok");
    expect(await journal.unacknowledged(10)).toBeNull();
    other.exec("ROLLBACK");
    expect(await nextCalls(journal)).toEqual(["x"]);
  });

  it("is reported once that has taken long", async () => {
    const journal = own.open("a-1");
    frozen();
    journal.start(callStart("x"))(callEnd());
    await until(() => journal.state.reason === "SQLITE_5", "a report");
  });
});

describe("a corrupt file", () => {
  const path = (): string => join(own.folder, "usage.sqlite");
  async function corrupt(): Promise<string> {
    const journal = own.open("a-1");
    journal.start(callStart("x"))(callEnd());
    await journal.close();
    await own.kill("a-1");
    writeFileSync(path(), "no database any more, ".repeat(500));
    return path();
  }

  it("is set aside at the start, with a report, and the journal goes on", async () => {
    await corrupt();
    const aside: string[] = [];
    const journal = own.open("a-2", { onSetAside: (file) => aside.push(file) });
    expect(journal.state.state).toBe("ok");
    expect(aside).toEqual([`${path()}.corrupt`]);
    expect(readFileSync(`${path()}.corrupt`, "utf8")).toContain("no database any more");
    journal.start(callStart("y"))(callEnd());
    expect(await nextCalls(journal)).toEqual(["y"]);
  });

  it("of which only one page is damaged is set aside too", async () => {
    const journal = own.open("a-1");
    for (let at = 0; at < 100; at += 1) journal.start(callStart(`call-${at}`))(callEnd());
    await journal.close();
    await own.kill("a-1");
    const bytes = readFileSync(path());
    writeFileSync(path(), bytes.fill(0xa5, 8_192, 9_216));
    const aside: string[] = [];
    own.open("a-2", { onSetAside: (file) => aside.push(file) });
    expect(aside).toHaveLength(1);
  });

  it("is kept once", async () => {
    writeFileSync(`${await corrupt()}.corrupt`, "an earlier one");
    const journal = own.open("a-2");
    expect(journal.state).toEqual({ state: "ok", reason: null, lost: 0 });
    expect(readFileSync(`${path()}.corrupt`, "utf8")).toContain("no database any more");
    expect(own.files().filter((name) => name.includes("corrupt"))).toHaveLength(1);
  });

  it("is left alone while another agent runs: the calls wait in memory until that has exited", async () => {
    await corrupt();
    let isAlone = false;
    const journal = own.open("a-2", { isAlone: () => isAlone });
    journal.start(callStart("y"))(callEnd());
    await endOfTurn();
    expect(journal.state).toEqual({ state: "failing", reason: "SQLITE_26", lost: 0 });
    expect(own.files().filter((name) => name.includes("corrupt"))).toEqual([]);
    isAlone = true;
    await until(() => journal.state.state === "ok", "a new file");
    expect(await nextCalls(journal)).toEqual(["y"]);
  });
});

describe("the journal's size is limited:", () => {
  it("beyond the limit new calls are served and counted as lost, and the ends of recorded calls are still written", async () => {
    const journal = own.open("a-1", { maxBytes: 40_000 });
    const endFirst = journal.start(callStart("first"));
    let started = 0;
    while (journal.state.lost === 0) {
      for (let at = 0; at < 20; at += 1) journal.start(callStart(`call-${++started}`))(callEnd());
      await endOfTurn();
    }
    const { lost } = journal.state;
    expect(journal.state).toMatchObject({ state: "failing", reason: "ENOSPC" });
    endFirst(callEnd());
    const lines: string[] = [];
    await until(async () => {
      lines.push(...(await drained(journal)));
      return lines.length === started + 1 - lost;
    }, "all calls that aren't lost");
    expect(lines).toContain("a-1 first complete");
    expect(journal.state).toEqual({ state: "ok", reason: null, lost });
    journal.start(callStart("after"))(callEnd());
    expect(await nextCalls(journal)).toEqual(["after"]);
  });

  it("the log too, even if no thread moves it into the database", async () => {
    const maxLogBytes = 64 * 1024 * 1024;
    own.open("a-1");
    const tables = new JournalTables(join(own.folder, "usage.sqlite"), 2 * maxLogBytes);
    const log = join(own.folder, "usage.sqlite-wal");
    for (let seq = 0; seq < 40_000; seq += 1)
      tables.transaction(() => tables.insert("a-2", seq, callStart("x"), callEnd()));
    tables.close();
    expect(statSync(log).size).toBeLessThan(maxLogBytes + 1024 * 1024);
  });
});
