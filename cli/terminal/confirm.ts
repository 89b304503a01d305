// Confirmation of a command that disrupts calls: a yes at the terminal, or `--yes`.
import type { Command } from "commander";
import type { CommandContext } from "../context.ts";
import { CommandFailure, EXIT, usageFailure } from "../failure.ts";

export interface ConfirmOptions {
  readonly yes?: true;
}

export function addYesOption(command: Command): Command {
  return command.option("--yes", "don't ask for confirmation");
}

/** To be called before any request. @throws CommandFailure if there is neither a terminal nor `--yes`. */
export function requireConfirmation({ yes }: ConfirmOptions, { ask }: CommandContext): void {
  if (yes === true || ask !== null) return;
  throw usageFailure("This needs a confirmation, and there is no terminal.", "Add --yes to confirm it.");
}

/** @throws CommandFailure with the message `cancelled` unless the operator answers yes. */
export async function confirm({ ask }: CommandContext, question: string, cancelled: string): Promise<void> {
  const answer = await ask?.(`${question} [y/N] `);
  if (!/^y(?:es)?$/i.test(answer?.trim() ?? "")) throw new CommandFailure(EXIT.failed, cancelled);
}
