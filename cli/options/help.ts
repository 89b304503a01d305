// Finds the command whose help is requested: `isha help keys create`, `isha keys create --help`, `isha --help keys`. An
// unknown name is an error with a suggestion; commander alone would print the main help for it.
import type { Command } from "commander";

const HELP_WORDS: readonly string[] = ["help", "-h", "--help"];

export function checkHelpCommand(program: Command): Command {
  return program.addHelpText("beforeAll", ({ command }) => {
    const requested = requestedCommand(program);
    if (requested !== command) requested.help();
    return "";
  });
}

/** @throws CommanderError, after its message is printed, on an unknown command's name */
function requestedCommand(program: Command): Command {
  let command = program;
  for (const word of program.args) {
    if (HELP_WORDS.includes(word)) continue;
    if (word.startsWith("-") || command.commands.length === 0) break;
    const found = command.commands.find((one) => one.name() === word);
    // Without the help word, commander reports the unknown name and the nearest known one.
    if (found === undefined) command.parse([word], { from: "user" });
    else command = found;
  }
  return command;
}
