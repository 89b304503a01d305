// Completes a server's entry of the fleet file from what is known of it: options, a llama-swap file, its GGUF header, and
// defaults that fit a 24 GB card with several models.
import { InvalidArgumentError } from "commander";
import { join } from "node:path";
import type { FleetInput } from "../../shared/fleet.ts";
import { GgufError, readGguf } from "../plan/gguf.ts";
import { modelFacts, type ModelFacts } from "../plan/model-facts.ts";

export type ServerInput = FleetInput["boxes"][number]["servers"][number];

/** What is known of a server; the rest is read or set by default. */
export type ServerDraft = Partial<ServerInput>;

const DEFAULTS = { slots: 2, contextPerSlot: 2048, maxTokens: 1024, kvType: "q8_0", ubatch: 128 } as const;

/** The first server's port unless it is given; each further one gets the next. */
const FIRST_PORT = 9001;

/** Fields of `--server`, by the name that is shorter to type. */
const FIELDS = {
  port: "port",
  pm2: "pm2",
  model: "model",
  file: "file",
  agents: "agents",
  weights: "weightsGib",
  kv: "kvKibPerToken",
  slots: "slots",
  context: "contextPerSlot",
  capabilities: "capabilities",
} as const;

const NUMBERS: readonly string[] = ["port", "weights", "kv", "slots", "context"];
const LISTS: readonly string[] = ["agents", "capabilities"];

/** `model=Wren-8B,file=wren.gguf,agents=Intake+Radiology`. @throws InvalidArgumentError */
export function parseServer(text: string, earlier: readonly ServerDraft[] = []): ServerDraft[] {
  const draft: Record<string, unknown> = {};
  for (const part of text.split(",")) {
    const [, key = "", value = ""] = /^\s*([a-z0-9]+)=(.+?)\s*$/.exec(part) ?? [];
    if (!(key in FIELDS))
      throw new InvalidArgumentError(`It must be fields with a value: ${Object.keys(FIELDS).join(", ")}.`);
    if (NUMBERS.includes(key) && !(Number(value) > 0))
      throw new InvalidArgumentError(`${key} must be a number above 0.`);
    draft[FIELDS[key as keyof typeof FIELDS]] = NUMBERS.includes(key)
      ? Number(value)
      : LISTS.includes(key)
        ? value.split("+")
        : value;
  }
  return [...earlier, draft];
}

/** Fields of `more` take precedence in the draft of the same model; a model that is new is added. */
export function mergeDrafts(drafts: readonly ServerDraft[], more: readonly ServerDraft[]): ServerDraft[] {
  const merged = drafts.map((draft) => ({ ...draft, ...more.find(({ model }) => model === draft.model) }));
  return [...merged, ...more.filter(({ model }) => !drafts.some((draft) => draft.model === model))];
}

/** A draft that lacks what only its GGUF file or the operator can give. */
export interface Incomplete {
  readonly missing: string;
}

/** @param at its place among the box's servers */
export async function completeServer(
  draft: ServerDraft,
  at: number,
  modelsDir: string,
): Promise<ServerInput | Incomplete> {
  const { file } = draft;
  if (file === undefined) return { missing: `file of ${draft.model ?? `server ${at + 1}`}` };
  const model = draft.model ?? file.replace(/\.gguf$/, "");
  const facts = await factsOf(join(modelsDir, file));
  const weightsGib = draft.weightsGib ?? rounded(facts?.weightsGib);
  const kvKibPerToken = draft.kvKibPerToken ?? facts?.kvKibPerToken;
  if (weightsGib === undefined || kvKibPerToken === undefined)
    return { missing: `weights and kv of ${model}: ${join(modelsDir, file)} isn't here to be read` };
  const port = draft.port ?? FIRST_PORT + at;
  const contextPerSlot = draft.contextPerSlot ?? DEFAULTS.contextPerSlot;
  return {
    port,
    pm2: draft.pm2 ?? `llama-${model.toLowerCase()}-${port}`,
    model,
    file,
    weightsGib,
    slots: draft.slots ?? DEFAULTS.slots,
    contextPerSlot,
    maxTokens: draft.maxTokens ?? Math.min(DEFAULTS.maxTokens, Math.floor(contextPerSlot / 2)),
    kvType: draft.kvType ?? DEFAULTS.kvType,
    kvKibPerToken,
    ubatch: draft.ubatch ?? DEFAULTS.ubatch,
    agents: draft.agents ?? [],
    capabilities: draft.capabilities ?? ["chat", ...(facts?.hasChatTemplate === true ? TOOLS : [])],
    description: draft.description ?? `${model}.`,
    bestFor: draft.bestFor ?? "general use",
    ...(draft.flags === undefined || draft.flags.length === 0 ? {} : { flags: draft.flags }),
  };
}

/** llama-server offers both for a model with a chat template. */
const TOOLS = ["tools", "json_schema"] as const;

const rounded = (gib: number | undefined): number | undefined =>
  gib === undefined ? undefined : Math.max(0.1, Math.round(gib * 10) / 10);

/** @returns null if the file isn't on this machine. @throws GgufError if it is damaged */
async function factsOf(path: string): Promise<ModelFacts | null> {
  try {
    return modelFacts(await readGguf(path));
  } catch (error) {
    if (error instanceof GgufError && error.isMissing) return null;
    throw error;
  }
}
