// Gathers the answers of `isha init`: from options, a llama-swap file and this machine, and asks for the rest at a terminal.
import { LOCATIONS, type FleetInput } from "../../shared/fleet.ts";
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

/** A question, the option that answers it, and its default; without one and without a terminal the option is required. */
interface Question {
  readonly option: string;
  readonly text: string;
  readonly given: string | undefined;
  readonly usual?: string | undefined;
}

/** Asks at the terminal what no option answers, and collects the names of options that are missing without one. */
class Interview {
  readonly missing: string[] = [];
  readonly ask: CommandContext["ask"];

  constructor(ask: CommandContext["ask"]) {
    this.ask = ask;
  }

  async answer({ option, text, given, usual }: Question): Promise<string> {
    if (given !== undefined) return given;
    if (this.ask === null) {
      if (usual === undefined) this.missing.push(option);
      return usual ?? "";
    }
    const typed = (await this.ask(`${text}${usual === undefined ? "" : ` [${usual}]`}: `)).trim();
    if (typed !== "") return typed;
    if (usual !== undefined) return usual;
    throw usageFailure(`${text}: an answer is needed.`, "Nothing was written.");
  }
}

type BoxInput = FleetInput["boxes"][number];

/** The machine that the command runs on. */
export interface Here {
  readonly machine: Machine;
  /** Whether it is the box: it has PM2. */
  readonly isBox: boolean;
}

/** The user that docs/deploy.md creates on a box. */
const BOX_USER = "isha";

/** @throws CommandFailure that names every option that is missing, if there is no terminal */
export async function answersFor(
  options: InitOptions,
  imported: Imported | null,
  io: CommandContext,
  { machine, isBox }: Here,
): Promise<FleetInput> {
  const interview = new Interview(io.ask);
  const domain = await interview.answer({
    option: "--domain",
    text: "Public host name",
    given: options.domain,
  });
  const user = (isBox && io.env["USER"]) || BOX_USER;
  const usual = { imported, card: await readCard(machine, io.signal), user };
  const box = await boxAnswers(interview, domain, options, usual);
  const drafts = mergeDrafts(imported?.servers ?? [], options.server ?? []);
  if (drafts.length === 0) drafts.push(...(await askServers(interview)));
  const servers = await complete(drafts, box.modelsDir, interview);
  if (interview.missing.length > 0) {
    throw usageFailure(
      `Without a terminal these are needed: ${interview.missing.join("; ")}.`,
      "Add them; isha init --help lists every option. Nothing was written.",
    );
  }
  return {
    domain,
    defaultPort: servers[0]?.port ?? 0,
    modelRouter: [],
    unknownModel: "refuse",
    fallback: {},
    cors: { v1: "*" },
    limits: { perAddressPerSecond: 100, perKeyPerSecond: 1000 },
    legacy: { keys: [], anonymous: null },
    boxes: [{ ...box, servers }],
  };
}

/** What the defaults of a box's fields come from. */
interface Usual {
  readonly imported: Imported | null;
  readonly card: Card | null;
  readonly user: string;
}

async function boxAnswers(
  interview: Interview,
  domain: string,
  options: InitOptions,
  { imported, card, user }: Usual,
): Promise<Omit<BoxInput, "servers">> {
  const answer = (option: string, text: string, given: string | undefined, usual?: string | null) =>
    interview.answer({ option, text, given, usual: usual ?? undefined });
  const zone = domain.split(".").slice(1).join(".") || domain;
  const name = await answer("--box", "Name of the box", options.box, "box1");
  return {
    name,
    origin: await answer("--origin", "Address of its tunnel", options.origin, `https://${name}.${zone}`),
    gpu: await answer("--gpu", "Card", options.gpu, card?.name),
    vramGib: Number(await answer("--vram", "Its memory in GiB", options.vram, card?.gib)),
    llamaServerBin: await answer(
      "--llama-server",
      "llama-server on the box",
      options.llamaServer,
      imported?.llamaServerBin ?? "/usr/local/bin/llama-server",
    ),
    modelsDir: await answer(
      "--models",
      "Folder of the GGUF files",
      options.models,
      imported?.modelsDir ?? "/srv/models",
    ),
    user: await answer("--user", "Unix user of the box", options.user, user),
    // A wrong answer is one of the faults that defineFleet names.
    locationHint: (await answer(
      "--location",
      `Location of the service (${LOCATIONS.join(", ")})`,
      options.location,
    )) as BoxInput["locationHint"],
  };
}

interface Card {
  readonly name: string;
  readonly gib: string;
}

/** The first card; null if this machine has none. */
async function readCard(machine: Machine, signal: AbortSignal): Promise<Card | null> {
  const args = ["--query-gpu=name,memory.total", "--format=csv,noheader,nounits"];
  const ran = await machine.run("nvidia-smi", args, signal);
  const [, name, mib] = /^(.+), (\d+)$/m.exec(ran?.code === 0 ? ran.out : "") ?? [];
  return name === undefined ? null : { name, gib: String(Math.round(Number(mib) / 1024)) };
}

async function askServers({ ask, missing }: Interview): Promise<ServerDraft[]> {
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
  { ask, missing }: Interview,
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
        advice:
          "Name a model's own file (no adapter, no projector), or download it again. Nothing was written.",
      },
    );
  }
}
