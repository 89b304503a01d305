// `isha`, the operators' command: its table of commands, and the one place that prints a failure. It runs in any
// CommandContext and returns the exit code.
import { Command, CommanderError } from "commander";
import { addAlertsTest } from "./commands/alerts-test.ts";
import { addAudit } from "./commands/audit.ts";
import { addBoxDrain } from "./commands/box/drain.ts";
import { addBoxRestart } from "./commands/box/restart.ts";
import { addBoxResume } from "./commands/box/resume.ts";
import { addCheck } from "./commands/check.ts";
import { addDeploy } from "./commands/deploy.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addGenerate } from "./commands/generate.ts";
import { addInit } from "./commands/init.ts";
import { addKeysBootstrap } from "./commands/keys/bootstrap.ts";
import { addKeysChange } from "./commands/keys/change.ts";
import { addKeysCreate } from "./commands/keys/create.ts";
import { addKeysList } from "./commands/keys/list.ts";
import { addKeysRevoke } from "./commands/keys/revoke.ts";
import { addKeysRotate } from "./commands/keys/rotate.ts";
import { addKeysShow } from "./commands/keys/show.ts";
import { addPlan } from "./commands/plan.ts";
import { addReport } from "./commands/report.ts";
import { addSecretsInit } from "./commands/secrets/init.ts";
import { addSecretsRotate } from "./commands/secrets/rotate.ts";
import { addSmoke } from "./commands/smoke.ts";
import { addStatus } from "./commands/status.ts";
import { addUsage } from "./commands/usage.ts";
import { addWhy } from "./commands/why.ts";
import { addServiceOptions, inheritOptions } from "./options/common.ts";
import { checkHelpCommand } from "./options/help.ts";
import { CommandFailure, EXIT, failureText } from "./failure.ts";
import type { CommandContext } from "./context.ts";

const FOOTER = `
--json, --url and --key-file may come before or after a command.
In a clone, run isha as \`npm run isha --\`; with -s (\`npm run -s isha --\`) only its own output is printed.

Service:     --url, ISHA_URL, or the domain in the fleet file. http:// only on this machine.
Admin key:   --key-file, ISHA_ADMIN_KEY, or ~/.isha/admin-key (mode 0600): a key with the scope admin.
Exit codes:  0 done, 1 refused or failed, 2 wrong usage, 3 not reachable or timed out.`;

export function ishaProgram(io: CommandContext): Command {
  const program = new Command("isha")
    .description("Manages a deployment: its keys, their usage, its boxes, and the reasons for failures.")
    .version(io.version, "--version", "print the version")
    .helpOption("-h, --help", "print help")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.out.write(text),
      writeErr: (text) => io.err.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, "isha: ")),
      getOutHelpWidth: () => io.out.columns ?? HELP_WIDTH,
      getErrHelpWidth: () => io.err.columns ?? HELP_WIDTH,
      getOutHasColors: () => io.out.colours,
      getErrHasColors: () => io.err.colours,
    })
    .showHelpAfterError("Add --help to see what the command takes.")
    .addHelpText("after", FOOTER);
  checkHelpCommand(inheritOptions(addServiceOptions(program)));
  const keys = inheritOptions(program.command("keys"))
    .summary("API keys and their limits")
    .description("API keys: who may use the service, and how much.");
  addKeysBootstrap(keys, io);
  addKeysCreate(keys, io);
  addKeysList(keys, io);
  addKeysShow(keys, io);
  addKeysChange(keys, io);
  addKeysRevoke(keys, io);
  addKeysRotate(keys, io);
  const secrets = inheritOptions(program.command("secrets"))
    .summary("create and rotate the deployment's secrets")
    .description("The secrets of a deployment: files that only the operator can read.");
  addSecretsInit(secrets, io);
  addSecretsRotate(secrets, io);
  addUsage(program, io);
  addAudit(program, io);
  addWhy(program, io);
  addStatus(program, io);
  addDoctor(program, io);
  addReport(program, io);
  addInit(program, io);
  addPlan(program, io);
  addGenerate(program, io);
  addCheck(program, io);
  addDeploy(program, io);
  addSmoke(program, io);
  const boxes = inheritOptions(program.command("box"))
    .summary("drain or resume a box, restart a server on it")
    .description("Boxes: drain and resume them, and restart their servers.");
  addBoxDrain(boxes, io);
  addBoxResume(boxes, io);
  addBoxRestart(boxes, io);
  const alerts = inheritOptions(program.command("alerts"))
    .summary("alarm messages to the on-call operator")
    .description("Alarms: the messages to the on-call operator.");
  addAlertsTest(alerts, io);
  return program;
}

/** Width of help that is not printed to a terminal. */
const HELP_WIDTH = 100;

/** @param argv without the interpreter and the script. */
export async function runIsha(argv: readonly string[], io: CommandContext): Promise<number> {
  try {
    await ishaProgram(io).parseAsync([...argv], { from: "user" });
    return EXIT.done;
  } catch (error) {
    // commander has already printed the message; help and the version are not errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    if (!(error instanceof CommandFailure)) throw error;
    io.err.write(failureText(error));
    return error.exitCode;
  }
}
