// The record of a run: every failure must appear in it.
import { describe, expect, it } from "vitest";
import { RunRecord, type ErrorReport, type TestEvent } from "../../../scripts/test/run-record.ts";

const FILE = "test/a.test.ts";
const error: ErrorReport = { message: "no", at: "test/a.test.ts:3:1", details: [] };
const ended = (name: string, state: string): TestEvent => ({
  type: "test",
  file: FILE,
  name,
  state,
  errors: state === "failed" ? [error] : [],
  output: [],
});

function recordOf(...events: TestEvent[]): RunRecord {
  const record = new RunRecord(0);
  for (const event of events) record.take(event, 0);
  return record;
}

describe("a run's record", () => {
  it("counts tests by how they ended", () => {
    const record = recordOf(
      { type: "run", files: 2 },
      { type: "file", file: FILE },
      ended("one", "passed"),
      ended("two", "skipped"),
      ended("three", "failed"),
      { type: "file-end", file: FILE },
    );
    expect(record.counts).toEqual({ passed: 1, failed: 1, skipped: 1 });
    expect(record.state).toBe("3 tests, 1 of 2 files, 1 failed");
    expect(record.failures).toMatchObject([{ file: FILE, name: "three", errors: [error] }]);
  });

  it("counts an error outside any test as a failure", () => {
    const record = recordOf({ type: "fault", file: FILE, name: null, error }, { type: "end" });
    expect(record.counts).toEqual({ passed: 0, failed: 1, skipped: 0 });
    expect(record.tests).toBe(0);
  });

  it("has a failure for a file that began and did not end", () => {
    const record = recordOf(
      { type: "file", file: FILE },
      { type: "step", file: FILE, name: "one" },
      { type: "end" },
    );
    expect(record.hasEnded).toBe(true);
    expect(record.failures[0]?.errors[0]?.message).toBe("the file did not finish; last seen: one");
  });

  it("has no failure for a file whose last events come after its end", () => {
    const record = recordOf(
      { type: "file", file: FILE },
      { type: "file-end", file: FILE },
      ended("one", "passed"),
      { type: "end" },
    );
    expect(record.counts).toEqual({ passed: 1, failed: 0, skipped: 0 });
  });

  it("finds the file that is silent while others go on", () => {
    const record = new RunRecord(0);
    record.take({ type: "run", files: 5 }, 0);
    record.take({ type: "file", file: FILE }, 0);
    record.take({ type: "step", file: FILE, name: "a loop" }, 10);
    record.take({ type: "file", file: "test/b.test.ts" }, 1_000);
    expect(record.findHung(1_010, 1_000)).toEqual([]);
    const hung = record.findHung(1_011, 1_000);
    expect(hung).toEqual([{ file: FILE, doing: "a loop" }]);
    record.endHung(hung, 1_000, []);
    expect(record.failures.map(({ file, errors }) => [file, errors[0]?.message])).toEqual([
      [FILE, "no sign of life for 1 s; last seen: a loop"],
      [null, "4 more files were not finished, because the run was ended"],
    ]);
  });

  it("finds a run that is silent as a whole", () => {
    const record = new RunRecord(0);
    expect(record.findHung(1_000, 1_000)).toEqual([]);
    expect(record.findHung(1_001, 1_000)).toEqual([{ file: null, doing: null }]);
    record.endHung([{ file: null, doing: null }], 1_000, ["a line"]);
    expect(record.failures[0]?.errors[0]).toEqual({
      message: "no sign of life for 1 s",
      at: null,
      details: ["vitest's last lines:", "a line"],
    });
    record.take({ type: "end" }, 1_001);
    expect(record.findHung(2_002, 1_000)).toEqual([{ file: null, doing: null }]);
  });
});
