// `isha`, the operators' command: its table of commands, and the one place that prints a failure. It runs in
// whatever commandContext it is given and tells the exit code.
import { Command, CommanderError } from "commander";
import { addAlertsTest } from "./commands/alerts-test.ts";
import { addAudit } from "./commands/audit.ts";
import { addBoxDrain } from "./commands/box/drain.ts";
import { addBoxRestart } from "./commands/box/restart.ts";
import { addBoxResume } from "./commands/box/resume.ts";
import { addFleet } from "./commands/fleet.ts";
import { addKeysBootstrap } from "./commands/keys/bootstrap.ts";
import { addKeysChange } from "./commands/keys/change.ts";
import { addKeysCreate } from "./commands/keys/create.ts";
import { addKeysList } from "./commands/keys/list.ts";
import { addKeysRevoke } from "./commands/keys/revoke.ts";
import { addKeysRotate } from "./commands/keys/rotate.ts";
import { addKeysShow } from "./commands/keys/show.ts";
import { addUsage } from "./commands/usage.ts";
import { addWhy } from "./commands/why.ts";
import { addServiceOptions, handDownOptions } from "./options/common-options.ts";
import { CommandFailure, EXIT, failureText } from "./failure.ts";
import type { CommandContext } from "./context.ts";

const ENDING = `
--json, --url and --key-file may stand before a command or after it.

Where:   --url, ISHA_URL, or the fleet file's domain. http:// only on this machine.
Who:     --key-file, ISHA_ADMIN_KEY, or ~/.isha/admin-key (mode 0600): a key with the scope admin.
Exit:    0 done, 1 refused or failed, 2 typed wrong, 3 not reachable or too late.`;

export function ishaProgram(around: CommandContext): Command {
  const program = new Command("isha")
    .description("Looks after a deployment: its keys, what they use, how its boxes are, what went wrong.")
    .version(around.version, "--version", "print the version")
    .helpOption("-h, --help", "print help")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => around.out.write(text),
      writeErr: (text) => around.err.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, "isha: ")),
      getOutHelpWidth: () => around.out.columns ?? HELP_WIDTH,
      getErrHelpWidth: () => around.err.columns ?? HELP_WIDTH,
      getOutHasColors: () => around.out.colours,
      getErrHasColors: () => around.err.colours,
    })
    .showHelpAfterError("`--help` after a command shows what it takes.")
    .addHelpText("after", ENDING);
  handDownOptions(addServiceOptions(program));
  const keys = handDownOptions(program.command("keys"))
    .summary("who may use the service, and how much")
    .description("Keys: who may use the service, and how much.");
  addKeysBootstrap(keys, around);
  addKeysCreate(keys, around);
  addKeysList(keys, around);
  addKeysShow(keys, around);
  addKeysChange(keys, around);
  addKeysRevoke(keys, around);
  addKeysRotate(keys, around);
  addUsage(program, around);
  addAudit(program, around);
  addWhy(program, around);
  addFleet(program, around);
  const boxes = handDownOptions(program.command("box"))
    .summary("drain, resume, restart what runs on a box")
    .description("A box: whether it takes calls, and restarts of its servers.");
  addBoxDrain(boxes, around);
  addBoxResume(boxes, around);
  addBoxRestart(boxes, around);
  const alerts = handDownOptions(program.command("alerts"))
    .summary("the messages that wake somebody")
    .description("Alarms: the messages that wake somebody.");
  addAlertsTest(alerts, around);
  return program;
}

/** Where help is no terminal's: what fits most. */
const HELP_WIDTH = 100;

/** @param argv without the interpreter and the script. */
export async function runIsha(argv: readonly string[], around: CommandContext): Promise<number> {
  try {
    await ishaProgram(around).parseAsync([...argv], { from: "user" });
    return EXIT.done;
  } catch (error) {
    // commander has said what was wrong by now; help and the version are no errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    if (!(error instanceof CommandFailure)) throw error;
    around.err.write(failureText(error));
    return error.exitCode;
  }
}
