// `isha report`: writes what a bug report needs into one file, without secrets and prompts; it is searched for both first.
import { stat } from "node:fs/promises";
import { release, type as system } from "node:os";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { FleetView } from "../../shared/fleet-view.ts";
import { connect } from "../api/connection.ts";
import { PROJECT_ROOT } from "../check/project.ts";
import type { CommandContext } from "../context.ts";
import type { Surroundings } from "../doctor/check.ts";
import { buildOf } from "../doctor/server-checks.ts";
import { CommandFailure, EXIT, stopIfInterrupted, usageFailure } from "../failure.ts";
import { writeWhole } from "../files.ts";
import { addExamples, addServiceOptions, type ServiceOptions } from "../options/common.ts";
import { agentLogPart, redactedFleet } from "../report/parts.ts";
import { operatorSecrets } from "../report/operator-secrets.ts";
import { findSecrets } from "../report/secret-search.ts";
import { doctorResults, surroundings } from "./doctor.ts";

interface ReportOptions extends ServiceOptions {
  readonly box?: string;
  readonly out?: string;
}

const LOG_LINES = 200;
const LOG_BYTES = 256 * 1024;
/** Its owner alone reads it until it is sent. */
const FILE_MODE = 0o600;

export function addReport(program: Command, io: CommandContext): void {
  const command = program
    .command("report")
    .summary("write a file for a bug report, without secrets and prompts")
    .description(
      "Writes versions, the fleet file without hashes, the state of boxes and servers, the doctor's results, and the last " +
        `${LOG_LINES} lines of the agent's own log into one file of JSON. The file is searched for this machine's secrets, ` +
        "keys and planted prompts first; if one is found, nothing is written.",
    )
    .option("--out <file>", "the file to write (default: isha-report-<time>.json)")
    .option("--box <name>", "this machine is that box, as for isha doctor");
  addServiceOptions(command).action((options: ReportOptions) => report(options, io));
  addExamples(command, ["isha report", "isha report --box box1 --out report.json"]);
}

async function report(options: ReportOptions, io: CommandContext): Promise<void> {
  stopIfInterrupted(io.signal);
  const created = new Date(io.now()).toISOString();
  const name = options.out ?? `isha-report-${created.slice(0, 19).replaceAll(/[T:]/g, "-")}.json`;
  const path = resolve(io.folder, name);
  if ((await stat(path).catch(() => null)) !== null)
    throw usageFailure(`${path} exists.`, "Name another file: --out <file>.");
  const around = await surroundings(options, io);
  const { fleet, machine, pm2Home, secretFolder } = around;
  const log = await machine.tail(join(pm2Home, "logs", "isha-agent-out.log"), LOG_BYTES);
  const bundle = {
    created,
    versions: await versions(around, io),
    fleet: redactedFleet(fleet),
    status: await status(options, io),
    doctor: await doctorResults(around, io),
    agentLog: log === null ? null : agentLogPart(log, LOG_LINES),
  };
  stopIfInterrupted(io.signal);
  const found = findSecrets(bundle, await operatorSecrets(secretFolder, machine, io));
  if (found.length > 0) {
    throw new CommandFailure(
      EXIT.failed,
      `Nothing was written: the report would contain\n  ${found.join("\n  ")}`,
      {
        advice:
          "Remove it where it comes from. A secret in a log or a fleet file is no longer one: rotate it.",
      },
    );
  }
  await writeWhole(path, `${JSON.stringify(bundle, null, 2)}\n`, FILE_MODE);
  io.out.write(
    `Wrote ${path}. Read it before you send it: it has host names, models and ids of keys and requests.\n`,
  );
}

async function versions({ machine, box }: Surroundings, io: CommandContext): Promise<object> {
  const commit = await machine.run("git", ["-C", PROJECT_ROOT, "rev-parse", "--short", "HEAD"], io.signal);
  const llama = box === null ? null : await machine.run(box.llamaServerBin, ["--version"], io.signal);
  return {
    isha: io.version,
    commit: commit?.code === 0 ? commit.out.trim() : null,
    node: process.version,
    system: `${system()} ${release()}`,
    llamaServer: llama === null ? null : buildOf(llama.out),
  };
}

/** A service that can't be reached is part of the report. */
async function status(options: ReportOptions, io: CommandContext): Promise<unknown> {
  try {
    const api = await connect(options, io);
    return (await api.request(FleetView, "/admin/fleet")).value;
  } catch (error) {
    if (!(error instanceof CommandFailure) || io.signal.aborted) throw error;
    return { unavailable: error.message, code: error.detail.code ?? null };
  }
}
