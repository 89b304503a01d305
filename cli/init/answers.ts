// Gathers the answers of `isha init`: from options, a llama-swap file and this machine, and asks for the rest at a terminal.
import type { FleetInput } from "../../shared/fleet.ts";
import type { CommandContext } from "../context.ts";
import type { Machine } from "../doctor/machine.ts";
import { CommandFailure, EXIT, usageFailure } from "../failure.ts";
import { GgufError } from "../plan/gguf.ts";
import type { Imported } from "./llama-swap.ts";
import { completeServer, mergeDrafts, type ServerDraft, type ServerInput } from "./server-draft.ts";

export interface InitOptions {
  readonly domain?: string;
  readonly box?: string;
  readonly origin?: string;
  readonly gpu?: string;
  readonly vram?: string;
  readonly llamaServer?: string;
  readonly models?: string;
  readonly user?: string;
  readonly location?: (typeof LOCATIONS)[number];
  readonly server?: readonly ServerDraft[];
}

export const LOCATIONS = ["wnam", "enam", "sam", "weur", "eeur", "apac", "oc", "afr", "me"] as const;

/** A question, the option that answers it, and its default; without one and without a terminal the option is required. */
interface Question {
  readonly option: string;
  readonly text: string;
  readonly given: string | undefined;
  readonly usual: string | undefined;
}

/** @throws CommandFailure that names every option that is missing, if there is no terminal */
export async function answersFor(
  options: InitOptions,
  imported: Imported | null,
  io: CommandContext,
  machine: Machine,
): Promise<FleetInput> {
  const missing: string[] = [];
  const answer = async ({ option, text, given, usual }: Question): Promise<string> => {
    if (given !== undefined) return given;
    if (io.ask === null) {
      if (usual === undefined) missing.push(option);
      return usual ?? "";
    }
    const typed = (await io.ask(`${text}${usual === undefined ? "" : ` [${usual}]`}: `)).trim();
    if (typed !== "") return typed;
    if (usual !== undefined) return usual;
    throw usageFailure(`${text}: an answer is needed.`, "Nothing was written.");
  };

  const card = await readCard(machine, io.signal);
  const domain = await answer({
    option: "--domain",
    text: "Public host name",
    given: options.domain,
    usual: undefined,
  });
  const name = await answer({ option: "--box", text: "Name of the box", given: options.box, usual: "box1" });
  const zone = domain.split(".").slice(1).join(".");
  const origin = await answer({
    option: "--origin",
    text: "Address of its tunnel",
    given: options.origin,
    usual: `https://${name}.${zone === "" ? domain : zone}`,
  });
  const gpu = await answer({ option: "--gpu", text: "Card", given: options.gpu, usual: card?.name });
  const vram = await answer({
    option: "--vram",
    text: "Its memory in GiB",
    given: options.vram,
    usual: card?.gib,
  });
  const llamaServerBin = await answer({
    option: "--llama-server",
    text: "llama-server on the box",
    given: options.llamaServer,
    usual: imported?.llamaServerBin ?? "/usr/local/bin/llama-server",
  });
  const modelsDir = await answer({
    option: "--models",
    text: "Folder of the GGUF files",
    given: options.models,
    usual: imported?.modelsDir ?? "/srv/models",
  });
  const user = await answer({
    option: "--user",
    text: "Unix user of the box",
    given: options.user,
    usual: io.env["USER"] || undefined,
  });
  const location = await answer({
    option: "--location",
    text: `Location of the service (${LOCATIONS.join(", ")})`,
    given: options.location,
    usual: undefined,
  });
  const drafts = mergeDrafts(imported?.servers ?? [], options.server ?? []);
  if (drafts.length === 0) drafts.push(...(await askServers(io, missing)));
  const servers = await complete(drafts, modelsDir, io, missing);
  if (missing.length > 0) {
    throw usageFailure(
      `Without a terminal these are needed: ${missing.join("; ")}.`,
      "Add them; isha init --help lists every option. Nothing was written.",
    );
  }
  const [first] = servers;
  return {
    domain,
    defaultPort: first?.port ?? 0,
    modelRouter: [],
    unknownModel: "refuse",
    fallback: {},
    cors: { v1: "*" },
    limits: { perAddressPerSecond: 100, perKeyPerSecond: 1000 },
    legacy: { keys: [], anonymous: null },
    boxes: [
      {
        name,
        origin,
        gpu,
        vramGib: Number(vram),
        llamaServerBin,
        modelsDir,
        user,
        // A wrong answer is one of the faults that defineFleet names.
        locationHint: location as (typeof LOCATIONS)[number],
        servers,
      },
    ],
  };
}

/** The first card; null if this machine has none. */
async function readCard(
  machine: Machine,
  signal: AbortSignal,
): Promise<{ name: string; gib: string } | null> {
  const args = ["--query-gpu=name,memory.total", "--format=csv,noheader,nounits"];
  const ran = await machine.run("nvidia-smi", args, signal);
  const [, name, mib] = /^(.+), (\d+)$/m.exec(ran?.code === 0 ? ran.out : "") ?? [];
  return name === undefined ? null : { name, gib: String(Math.round(Number(mib) / 1024)) };
}

async function askServers({ ask }: CommandContext, missing: string[]): Promise<ServerDraft[]> {
  if (ask === null) {
    missing.push("--server, for each model (or --import)");
    return [];
  }
  const drafts: ServerDraft[] = [];
  for (;;) {
    const number = drafts.length + 1;
    const file = (await ask(`GGUF file of server ${number}${number === 1 ? "" : " (none: done)"}: `)).trim();
    if (file === "") break;
    const model = (await ask(`  Name of the model [${file.replace(/\.gguf$/, "")}]: `)).trim();
    const agents = (await ask("  Agent types, separated by commas (none: the default model): ")).trim();
    drafts.push({
      file,
      ...(model === "" ? {} : { model }),
      agents: agents === "" ? [] : agents.split(",").map((agent) => agent.trim()),
    });
  }
  if (drafts.length === 0) throw usageFailure("A fleet needs a server.", "Nothing was written.");
  return drafts;
}

async function complete(
  drafts: readonly ServerDraft[],
  modelsDir: string,
  { ask }: CommandContext,
  missing: string[],
): Promise<ServerInput[]> {
  const servers: ServerInput[] = [];
  for (const [at, draft] of drafts.entries()) {
    let done = await read(draft, at, modelsDir);
    if ("missing" in done && ask !== null && draft.file !== undefined) {
      const weightsGib = Number(await ask(`  ${draft.file} isn't here. Its size in GiB: `));
      const kvKibPerToken = Number(
        await ask("  KiB of f16 cache per token, as isha plan prints it on the box: "),
      );
      done = await read({ ...draft, weightsGib, kvKibPerToken }, at, modelsDir);
    }
    if ("missing" in done) missing.push(`--server: ${done.missing}`);
    else servers.push(done);
  }
  return servers;
}

async function read(draft: ServerDraft, at: number, modelsDir: string): ReturnType<typeof completeServer> {
  try {
    return await completeServer(draft, at, modelsDir);
  } catch (error) {
    if (!(error instanceof GgufError)) throw error;
    throw new CommandFailure(
      EXIT.failed,
      `${modelsDir}/${draft.file ?? ""} can't be used: ${error.message}.`,
      {
        advice: "Download it again. Nothing was written.",
      },
    );
  }
}
