// `isha smoke`: uses a deployment as its clients do, once through every route, and reports what differs from the contract.
import type { Command } from "commander";
import { chooseService } from "../api/connection.ts";
import { explainUnreachable } from "../api/unreachable.ts";
import type { CommandContext } from "../context.ts";
import { CommandFailure, EXIT, usageFailure } from "../failure.ts";
import { addExamples, addServiceOptions, writeJson, type ServiceOptions } from "../options/common.ts";
import { send, Unexpected, type Service } from "../smoke/service.ts";
import { listModels, stepsFor, type Listed, type Step } from "../smoke/steps.ts";

interface StepResult {
  readonly step: string;
  readonly ok: boolean;
  readonly ms: number;
  /** What differs; null if nothing does. */
  readonly problem: string | null;
}

export function addSmoke(program: Command, io: CommandContext): void {
  const command = program
    .command("smoke")
    .summary("use the deployment as its clients do, once through every route")
    .description(
      "Sends a short call for every agent type, in both formats, as a stream and in every dialect, and requests that must be " +
        "refused. It takes as long as some twenty short answers. The key needs the scope infer for all agent types.",
    );
  addServiceOptions(command).action((options: ServiceOptions) => smoke(options, io));
  addExamples(command, ["isha smoke", "isha smoke --url http://localhost:8787"]);
}

async function smoke(options: ServiceOptions, io: CommandContext): Promise<void> {
  const { url, key } = await chooseService(options, io);
  if (key === null)
    throw usageFailure("There is no key.", "Name its file: --key-file <file>, or set ISHA_ADMIN_KEY.");
  const service: Service = { url, key, signal: io.signal };
  await reach(service);
  const results: StepResult[] = [];
  const show = (result: StepResult): void => {
    results.push(result);
    if (options.json !== true) io.out.write(line(result));
  };
  let models: Listed[] = [];
  const list = async (): Promise<void> => {
    models = await listModels(service);
  };
  const listing = await run({ name: "models", run: list }, service);
  show(listing);
  // One after another: the service has clients.
  if (listing.ok) for (const step of stepsFor(models)) show(await run(step, service));
  if (io.signal.aborted) throw new CommandFailure(EXIT.interrupted, "Interrupted; the steps are incomplete.");
  if (options.json === true) writeJson(io.out, results);
  const failed = results.filter(({ ok }) => !ok);
  if (failed.length > 0) {
    throw new CommandFailure(EXIT.failed, `${failed.length} of ${results.length} steps failed.`, {
      advice: "isha doctor looks for the cause; isha why <request-id> explains a refusal.",
    });
  }
}

/** @throws CommandFailure if nothing answers, before twenty steps fail for the same reason */
async function reach(service: Service): Promise<void> {
  try {
    await send(service, "/livez", { anonymous: true });
  } catch (error) {
    if (service.signal.aborted) throw new CommandFailure(EXIT.interrupted, "Interrupted; nothing was sent.");
    const { message, advice } = explainUnreachable(error, service.url, 0);
    throw new CommandFailure(EXIT.unreachable, message, { advice });
  }
}

async function run(step: Step, service: Service): Promise<StepResult> {
  const started = performance.now();
  const problem = await problemOf(step, service);
  return { step: step.name, ok: problem === null, ms: Math.round(performance.now() - started), problem };
}

async function problemOf(step: Step, service: Service): Promise<string | null> {
  try {
    await step.run(service);
    return null;
  } catch (error) {
    if (error instanceof Unexpected) return error.message;
    return error instanceof Error && error.name === "TimeoutError"
      ? "no answer in time"
      : "the connection broke";
  }
}

const NAME_WIDTH = 34;

const line = ({ step, ok, ms, problem }: StepResult): string =>
  `${ok ? "ok   " : "WRONG"}  ${step.padEnd(NAME_WIDTH)}  ${`${ms} ms`.padStart(9)}${problem === null ? "" : `  ${problem}`}\n`;
