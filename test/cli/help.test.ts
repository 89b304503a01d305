// The help that is requested is the help that is shown; an unknown command's name is an error with the nearest known one.
import { describe, expect, it } from "vitest";
import { EXIT } from "../../cli/failure.ts";
import { runHere } from "./support/run-isha.ts";

const wordsOf = (line: string): string[] => line.split(" ").filter((word) => word !== "");

describe("isha", () => {
  it.each([
    ["help", "isha"],
    ["--help", "isha"],
    ["help keys", "isha keys"],
    ["keys help", "isha keys"],
    ["keys --help", "isha keys"],
    ["--help keys", "isha keys"],
    ["--url http://localhost:1 keys --help", "isha keys"],
    ["help keys create", "isha keys create"],
    ["keys help create", "isha keys create"],
    ["keys create --help", "isha keys create"],
    ["keys create --name help --help", "isha keys create"],
    ["--help usage", "isha usage"],
  ])("%s prints the help of %s", async (line, command) => {
    const { code, out, err } = await runHere(wordsOf(line));
    expect([code, err]).toEqual([EXIT.done, ""]);
    expect(out).toMatch(new RegExp(`^Usage: ${command} \\[`));
    // Once, although one help may have been found by way of another.
    expect(out.match(/^Usage:/gm)).toHaveLength(1);
  });

  it.each([
    ["help bogus", "bogus", null],
    ["bogus --help", "bogus", null],
    ["bogus -h", "bogus", null],
    ["--help bogus", "bogus", null],
    ["keys help bogus", "bogus", null],
    ["keys bogus --help", "bogus", null],
    ["help keys bogus", "bogus", null],
    ["help kyes", "kyes", "keys"],
    ["kyes create --help", "kyes", "keys"],
    ["help kyes create", "kyes", "keys"],
    ["--url http://localhost:1 kyes --help", "kyes", "keys"],
    ["help keys creat", "creat", "create"],
    ["keys creat --help", "creat", "create"],
    ["box help drian", "drian", "drain"],
  ])("%s reports %s as unknown", async (line, name, nearest) => {
    const { code, out, err } = await runHere(wordsOf(line));
    expect([code, out]).toEqual([EXIT.usage, ""]);
    expect(err.split("\n").slice(0, 2)).toEqual([
      `isha: unknown command '${name}'`,
      nearest === null ? "Add --help to see what the command takes." : `(Did you mean ${nearest}?)`,
    ]);
  });
});
