// An unknown option is reported as unknown, on every command, whatever else is missing or wrong.
import { expect, it } from "vitest";
import { ishaProgram } from "../../../cli/isha.ts";
import { commandContext, runHere } from "../support/run-isha.ts";

/** Every command and every group: `isha`, `isha keys`, `isha keys create`, … */
const commands = ishaProgram(commandContext()).commands.flatMap((command) => [
  command.name(),
  ...command.commands.map((inner) => `${command.name()} ${inner.name()}`),
]);

it.each(["", ...commands])("isha %s", async (command) => {
  const words = command.split(" ").filter((word) => word !== "");
  for (const argv of [
    [...words, "--no-such-option"],
    [...words, "--no-such-option", "value"],
    ["--no-such-option", ...words],
  ]) {
    const { code, out, err } = await runHere(argv);
    expect([code, out], argv.join(" ")).toEqual([2, ""]);
    expect(err, argv.join(" ")).toContain("unknown option '--no-such-option'");
  }
});

it("a mistyped option comes with the right one, also on a command that needs it", async () => {
  expect((await runHere(["keys", "create", "--nmae", "x"])).err).toContain("(Did you mean --name?)");
  expect((await runHere(["usage", "--mont", "2026-10"])).err).toContain("(Did you mean --month?)");
});
