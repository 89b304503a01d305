// `isha plan`: reads the models' GGUF headers and reports whether a box's servers fit its card.
import { join } from "node:path";
import type { Command } from "commander";
import type { Box } from "../../shared/fleet.ts";
import type { CommandContext } from "../context.ts";
import { CommandFailure, EXIT, usageFailure } from "../failure.ts";
import { boxNamed } from "../options/arguments.ts";
import { addExamples, addJsonOption, writeJson, type OutputOptions } from "../options/common.ts";
import { GgufError, readGguf } from "../plan/gguf.ts";
import { modelFacts } from "../plan/model-facts.ts";
import { planBox, type BoxPlan, type FileReport } from "../plan/plan.ts";
import { planText } from "../terminal/plan-text.ts";

interface PlanOptions extends OutputOptions {
  readonly box?: string;
  readonly models?: string;
}

export function addPlan(program: Command, io: CommandContext): void {
  const command = program
    .command("plan")
    .summary("whether the models fit the card, by their GGUF files")
    .description(
      "Reads the GGUF file of every server: weights, layers, heads, cache per token. Adds the cache of all slots, buffers " +
        "and CUDA contexts, compares the sum with the card, and lists changes after which it would fit. If a file isn't " +
        "there, the fleet file's figures are used, and the output reports that.",
    )
    .option("--box <name>", "only this box (default: all)")
    .option("--models <folder>", "folder of the GGUF files (default: the box's modelsDir)");
  addJsonOption(command).action((options: PlanOptions) => plan(options, io));
  command.addHelpText("after", "\nExit codes: 0 everything fits, 1 it doesn't, 2 it can't be checked.");
  addExamples(command, ["isha plan", "isha plan --box box1 --models /srv/models"]);
}

async function plan(options: PlanOptions, io: CommandContext): Promise<void> {
  const fleet = await io.fleet();
  const boxes = options.box === undefined ? fleet.boxes : [boxNamed(fleet, options.box)];
  const plans: BoxPlan[] = [];
  for (const box of boxes) plans.push(planBox(box, await readFiles(box, options.models)));
  if (options.json === true) writeJson(io.out, plans.map(planJson));
  else io.out.write(planText(plans, io.out));
  const faults = plans.flatMap(({ servers }) => servers.filter(({ file }) => "fault" in file));
  if (faults.length > 0) {
    throw usageFailure(
      "A model's file can't be read, so the plan isn't certain.",
      "See the list under Files above.",
    );
  }
  const tooSmall = plans.filter(({ fits }) => !fits).map(({ box }) => box.name);
  if (tooSmall.length > 0) {
    throw new CommandFailure(EXIT.failed, `The servers don't fit the card of ${tooSmall.join(", ")}.`);
  }
}

/** By file name: replicas share a file. */
async function readFiles(box: Box, folder: string | undefined): Promise<Map<string, FileReport>> {
  const reports = new Map<string, FileReport>();
  for (const { file } of box.servers) {
    if (!reports.has(file)) reports.set(file, await report(join(folder ?? box.modelsDir, file)));
  }
  return reports;
}

async function report(path: string): Promise<FileReport> {
  try {
    return { facts: modelFacts(await readGguf(path)) };
  } catch (error) {
    if (error instanceof GgufError && error.isMissing) return { missing: `not found at ${path}` };
    if (error instanceof Error) return { fault: error.message };
    throw error;
  }
}

function planJson({ box, servers, totalGib, allowedGib, fits, changes }: BoxPlan): object {
  return {
    box: box.name,
    fits,
    total_gib: totalGib,
    allowed_gib: allowedGib,
    servers: servers.map(({ server, file, need, corrections }) => ({
      port: server.port,
      model: server.model,
      file: server.file,
      from: "facts" in file ? "gguf" : "fleet file",
      fault: "fault" in file ? file.fault : null,
      gib: need,
      corrections,
    })),
    changes: changes.map(({ what, totalGib: after }) => ({ what, total_gib: after })),
  };
}
