// `isha generate`: writes what is derived from the fleet file for a box: PM2's file, cloudflared's configuration and unit,
// logrotate's file, and a JSON schema of the fleet file.
import { join, resolve } from "node:path";
import type { Command } from "commander";
import type { Box } from "../../shared/fleet.ts";
import { PROJECT_ROOT } from "../check/project.ts";
import type { CommandContext } from "../context.ts";
import { realMachine, type Machine } from "../doctor/machine.ts";
import { CommandFailure, EXIT, stopIfInterrupted } from "../failure.ts";
import { writeWhole } from "../files.ts";
import { generatedFiles, type GeneratedFile } from "../generate/files.ts";
import { lineDiff } from "../generate/line-diff.ts";
import { flagsInHelp } from "../generate/llama-flags.ts";
import { boxNamed } from "../options/arguments.ts";
import { addExamples } from "../options/common.ts";
import { bold } from "../terminal/table.ts";

interface GenerateCommandOptions {
  readonly diff?: true;
  readonly box?: string;
  readonly out?: string;
  readonly askBinary?: true;
}

export function addGenerate(program: Command, io: CommandContext): void {
  const command = program
    .command("generate")
    .summary("write what follows from the fleet file: PM2, cloudflared, logrotate")
    .description(
      "Writes ecosystem.config.cjs for PM2, and under deploy/ the box's cloudflared configuration (if the fleet file has its " +
        "tunnel), a systemd unit for cloudflared, a logrotate file and a JSON schema of the fleet file. Flags that no " +
        "llama-server may have here are refused.",
    )
    .option("--box <name>", "the box that the files are for (default: ISHA_BOX, else the fleet's first box)")
    .option("--diff", "show what would change and write nothing; exit 1 if anything would")
    .option("--out <folder>", "write into this folder (default: this project's)")
    .option("--ask-binary", "refuse flags that the box's llama-server lacks, according to its --help")
    .action((options: GenerateCommandOptions) => generate(options, io));
  addExamples(command, [
    "isha generate",
    "isha generate --diff",
    "isha generate --box box1 --out box1-files",
  ]);
}

async function generate(options: GenerateCommandOptions, io: CommandContext): Promise<void> {
  const fleet = await io.fleet();
  const box = boxNamed(fleet, options.box ?? io.env["ISHA_BOX"]);
  stopIfInterrupted(io.signal);
  const machine = realMachine(io.env, io.now);
  const folder = options.out === undefined ? PROJECT_ROOT : resolve(io.folder, options.out);
  const files = filesFor(box, options, io, await knownFlags(box, options, machine, io.signal));
  const changed: (GeneratedFile & { readonly before: string | null })[] = [];
  for (const file of files) {
    const before = await machine.read(join(folder, file.path));
    if (before !== file.text) changed.push({ ...file, before });
  }
  if (options.diff === true) {
    for (const { path, before, text } of changed) {
      io.out.write(`${bold(before === null ? `${path} (new)` : path, io.out)}\n`);
      if (before !== null) io.out.write(`${lineDiff(before, text).join("\n")}\n`);
    }
    if (changed.length > 0)
      throw new CommandFailure(EXIT.failed, `${changed.length} of ${files.length} files would change.`, {
        advice: "Write them: the same command without --diff.",
      });
    io.out.write(`All ${files.length} files for ${box.name} are current.\n`);
    return;
  }
  for (const { path, text } of changed) await writeWhole(join(folder, path), text);
  for (const { path } of files) {
    io.out.write(
      `${changed.some((one) => one.path === path) ? "written  " : "unchanged"}  ${join(folder, path)}\n`,
    );
  }
  if (box.tunnel === undefined) io.err.write(noTunnel(box));
}

function filesFor(
  box: Box,
  options: GenerateCommandOptions,
  io: CommandContext,
  known: ReadonlySet<string> | null,
): GeneratedFile[] {
  try {
    return generatedFiles(box, {
      fleetFile: fleetFileOf(io),
      ...(options.out === undefined ? {} : { root: PROJECT_ROOT }),
      ...(known === null ? {} : { knownFlags: known }),
    });
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new CommandFailure(EXIT.failed, error.message, {
      advice: "Correct the fleet file, or install another build of llama.cpp. Nothing was written.",
    });
  }
}

/** The agent must read the same file; without ISHA_FLEET that is the project's own. */
export function fleetFileOf({ env }: Pick<CommandContext, "env">): string | null {
  return env["ISHA_FLEET"] ? resolve(env["ISHA_FLEET"]) : null;
}

async function knownFlags(
  box: Box,
  { askBinary }: GenerateCommandOptions,
  machine: Machine,
  signal: AbortSignal,
): Promise<ReadonlySet<string> | null> {
  if (askBinary !== true) return null;
  const ran = await machine.run(box.llamaServerBin, ["--help"], signal);
  const flags = flagsInHelp(ran?.out ?? "");
  if (flags.size > 0) return flags;
  throw new CommandFailure(EXIT.failed, `${box.llamaServerBin} can't be asked for its flags.`, {
    advice: `Run it on ${box.name}: ${box.llamaServerBin} --help. Without --ask-binary the flags aren't checked.`,
  });
}

const noTunnel = ({ name }: Box): string => `
${name} has no tunnel in the fleet file, so no configuration of cloudflared was written. After \`cloudflared tunnel create
${name}\`, add its id to the box:  tunnel: { id: "…" }
`;
