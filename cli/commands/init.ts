// `isha init`: asks for what a fleet file needs, or takes it from options and a llama-swap file, and writes a file that
// `defineFleet` accepts.
import { readFile, stat } from "node:fs/promises";
import { dirname, relative, resolve } from "node:path";
import { Option, type Command } from "commander";
import { routesLine } from "../check/config-checks.ts";
import { PROJECT_FLEET, PROJECT_ROOT } from "../check/project.ts";
import type { CommandContext } from "../context.ts";
import { realMachine } from "../doctor/machine.ts";
import { CommandFailure, EXIT, stopIfInterrupted, usageFailure } from "../failure.ts";
import { writeWhole } from "../files.ts";
import { answersFor, type InitOptions } from "../init/answers.ts";
import { fleetFileText } from "../init/fleet-file-text.ts";
import type { Imported } from "../init/llama-swap.ts";
import { parseServer, type ServerDraft } from "../init/server-draft.ts";
import { addExamples } from "../options/common.ts";
import { plain, shellWord } from "../terminal/safe-text.ts";
import { defineFleet, LOCATIONS } from "../../shared/fleet.ts";
import { pm2HomeOf } from "./doctor.ts";

interface InitCommandOptions extends InitOptions {
  readonly import?: string;
  readonly out?: string;
  readonly force?: true;
}

export function addInit(program: Command, io: CommandContext): void {
  const command = program
    .command("init")
    .summary("write a fleet file for a new deployment")
    .description(
      "Asks for the domain, the box and its models, and writes the fleet file. Every answer is also an option, so it works " +
        "without a terminal too. What a GGUF file on this machine states isn't asked for. --import reads a llama-swap " +
        "configuration and lists what it could not take over.",
    )
    .option("--domain <host>", "the public host name")
    .option("--box <name>", "the box's name (default: box1)")
    .option("--origin <url>", "the tunnel's address (default: the box's name in the domain's zone)")
    .option("--gpu <name>", "the card (default: as nvidia-smi reports it)")
    .option("--vram <gib>", "its memory in GiB (default: as nvidia-smi reports it)")
    .option("--llama-server <path>", "the llama-server (default: /usr/local/bin/llama-server)")
    .option("--models <folder>", "folder of the GGUF files (default: /srv/models)")
    .option("--user <name>", "the box's Unix user for PM2 (default: isha; on a machine with PM2, yours)")
    .addOption(new Option("--location <hint>", "where Cloudflare places the objects").choices([...LOCATIONS]))
    .option<ServerDraft[]>(
      "--server <fields>",
      "a server, such as model=Wren-8B,file=wren.gguf,agents=Intake+Radiology (again for each)",
      parseServer,
    )
    .option("--import <file>", "take models from this llama-swap configuration")
    .option("--out <file>", "the file to write (default: this project's fleet.config.ts)")
    .option("--force", "replace the file if it exists")
    .action((options: InitCommandOptions) => init(options, io));
  addExamples(command, [
    "isha init --force",
    "isha init --import llama-swap.yaml --out fleet.config.ts --force",
  ]);
}

async function init(options: InitCommandOptions, io: CommandContext): Promise<void> {
  stopIfInterrupted(io.signal);
  const path = options.out === undefined ? PROJECT_FLEET : resolve(io.folder, options.out);
  if (options.force !== true && (await exists(path))) {
    throw usageFailure(`${path} exists.`, "Add --force to replace it, or --out <file> to write another one.");
  }
  const imported =
    options.import === undefined ? null : await importFrom(resolve(io.folder, options.import), io);
  const machine = realMachine(io.env, io.now);
  const isBox = (await machine.mode(pm2HomeOf(io))) !== null;
  const answers = await answersFor(options, imported, io, { machine, isBox });
  const text = fleetFileText(checked(answers), importPath(path));
  stopIfInterrupted(io.signal);
  await writeWhole(path, text);
  io.out.write(`Wrote ${path}.\n`);
  if (imported !== null && imported.skipped.length > 0) {
    io.out.write(`\nNot imported:\n${imported.skipped.map((line) => `  - ${plain(line)}\n`).join("")}`);
  }
  io.err.write(nextSteps(answers.domain, path));
}

/** The commands read another fleet file than the project's own only by ISHA_FLEET. */
function nextSteps(domain: string, path: string): string {
  const before = path === PROJECT_FLEET ? "" : `ISHA_FLEET=${shellWord(path)} `;
  const commands = ["plan", "generate", "secrets init", "check"];
  return `
Next, in wrangler.toml, at its top and under [env.production]:
     ${routesLine("production", domain)}
Under [env.staging]:
     ${routesLine("staging", domain)}
Then:
${commands.map((command) => `     ${before}npm run isha -- ${command}\n`).join("")}`;
}

function checked(fleet: Awaited<ReturnType<typeof answersFor>>): typeof fleet {
  try {
    defineFleet(fleet);
    return fleet;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new CommandFailure(EXIT.failed, `Nothing was written. ${error.message}`, {
      advice: "Change the answers or options that these fields come from.",
    });
  }
}

/** The path by which the new file imports shared/fleet.ts. */
function importPath(file: string): string {
  const path = relative(dirname(file), resolve(PROJECT_ROOT, "shared/fleet.ts"));
  return path.startsWith(".") ? path : `./${path}`;
}

async function importFrom(path: string, { env }: CommandContext): Promise<Imported> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    throw usageFailure(`${path} can't be read (${code}).`);
  }
  // Its YAML reader takes longer to load than most commands run.
  const { readLlamaSwap } = await import("../init/llama-swap.ts");
  try {
    return readLlamaSwap(text, env);
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split("\n")[0] ?? "") : "";
    throw usageFailure(
      `${path} is no llama-swap configuration: ${plain(reason)}`,
      "It is YAML with a list of models, each with its cmd.",
    );
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}
