// Reads a llama-swap configuration (its config.example.yaml of August 2026) for the facts that a fleet file needs, and lists
// everything else: llama-swap loads models on request, a fleet keeps all of them loaded. Pure.
import { basename, dirname } from "node:path";
import { parse } from "yaml";
import * as z from "zod";
import { refusalOf } from "../generate/llama-flags.ts";
import { flagsOf, splitCommand } from "./llama-command.ts";
import type { ServerDraft } from "./server-draft.ts";

export interface Imported {
  readonly servers: readonly ServerDraft[];
  /** Null unless all models agree. */
  readonly llamaServerBin: string | null;
  readonly modelsDir: string | null;
  /** What has no place in the fleet file, or was not understood: a line each. */
  readonly skipped: readonly string[];
}

const Macro = z.union([z.string(), z.number(), z.boolean()]).transform(String);
const Macros = z.record(z.string(), Macro).default({});
const Model = z.looseObject({
  cmd: z.string(),
  macros: Macros,
  name: z.string().optional(),
  description: z.string().optional(),
  proxy: z.string().optional(),
});
const Config = z.looseObject({
  startPort: z.number().int().default(5800),
  macros: Macros,
  models: z.record(z.string(), Model),
});

type Model = z.infer<typeof Model>;

/** Read from a model, or of no consequence here. */
const MODEL_KEYS = ["cmd", "macros", "name", "description", "proxy"];
const TOP_KEYS = ["startPort", "macros", "models"];

/** @throws Error if the text is no llama-swap configuration */
export function readLlamaSwap(text: string, env: Readonly<Record<string, string | undefined>>): Imported {
  const config = Config.parse(parse(text));
  const skipped = Object.keys(config)
    .filter((name) => !TOP_KEYS.includes(name))
    .map((name) => `${name}: has no place in a fleet file`);
  const servers: ServerDraft[] = [];
  const programs = new Set<string>();
  const folders = new Set<string>();
  let nextPort = config.startPort;
  // llama-swap gives out ports in this order.
  for (const [id, model] of Object.entries(config.models).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const own = { ...config.macros, ...model.macros, MODEL_ID: id };
    const usesPort = expanded(`${model.cmd} ${model.proxy ?? ""}`, own, env).includes("${PORT}");
    const macros = { ...own, PORT: String(nextPort) };
    if (usesPort) nextPort += 1;
    const expand = (value: string): string => expanded(value, macros, env);
    const read = readModel(id, model, expand);
    skipped.push(...read.skipped.map((line) => `models.${id}: ${line}`));
    if (read.draft === null) continue;
    servers.push(read.draft);
    programs.add(read.program);
    folders.add(read.folder);
  }
  for (const [what, found] of [
    ["llama-server", programs],
    ["folder of models", folders],
  ] as const) {
    if (found.size > 1)
      skipped.push(`several values of ${what}, but a box has one: ${[...found].join(", ")}`);
  }
  return { servers, llamaServerBin: only(programs), modelsDir: only(folders), skipped };
}

const only = (values: ReadonlySet<string>): string | null =>
  values.size === 1 ? ([...values][0] ?? null) : null;

/** Macros may contain others; a depth bounds those that contain themselves. */
function expanded(
  text: string,
  macros: Readonly<Record<string, string>>,
  env: Readonly<Record<string, string | undefined>>,
): string {
  let result = text;
  for (let depth = 0; depth < 10 && result.includes("${"); depth += 1) {
    result = result.replaceAll(
      /\$\{(env\.)?([\w-]+)\}/g,
      (whole, isEnv: string | undefined, name: string) => {
        return (isEnv === undefined ? macros[name] : env[name]) ?? whole;
      },
    );
  }
  return result;
}

interface ReadModel {
  /** Null if the model isn't run by a llama-server of this machine. */
  readonly draft: ServerDraft | null;
  readonly program: string;
  readonly folder: string;
  readonly skipped: readonly string[];
}

function readModel(id: string, model: Model, expand: (text: string) => string): ReadModel {
  const [program = "", ...args] = splitCommand(expand(model.cmd));
  const none = (reason: string): ReadModel => ({ draft: null, program: "", folder: "", skipped: [reason] });
  if (!/llama-server/.test(basename(program)))
    return none(`not imported: it is run by ${program || "nothing"}`);
  const { known, other, rest } = flagsOf(args);
  const path = known.model;
  if (path === undefined) return none("not imported: its command names no file (-m)");
  if (/\$\{/.test(path)) return none(`not imported: ${path} has an unknown macro`);
  const skipped = Object.keys(model)
    .filter((name) => !MODEL_KEYS.includes(name))
    .map((name) => `${name}: has no place in a fleet file`);
  skipped.push(...rest.map((word) => `${word}: follows no flag`));
  const flags: string[] = [];
  for (const flag of other) {
    const refusal = refusalOf(flag[0]);
    if (refusal === null) flags.push(...flag);
    else skipped.push(`${flag.join(" ")}: ${refusal}`);
  }
  const draft = draftOf(id, model, known, expand, skipped);
  return {
    draft: { ...draft, ...(flags.length === 0 ? {} : { flags }) },
    program,
    folder: dirname(path),
    skipped,
  };
}

type Known = ReturnType<typeof flagsOf>["known"];

function draftOf(
  id: string,
  { description, name, proxy }: Model,
  known: Known,
  expand: (text: string) => string,
  skipped: string[],
): ServerDraft {
  const model = id.replaceAll(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "");
  if (model !== id) skipped.push(`its name becomes ${model}`);
  const port = portOf(known.port) ?? portOf(/:(\d+)\/?$/.exec(expand(proxy ?? ""))?.[1]);
  const slots = whole(known.slots);
  const context = whole(known.context);
  const ubatch = whole(known.ubatch);
  const kvType = known.cacheType;
  const isCache = kvType === "f16" || kvType === "q8_0";
  if (kvType !== undefined && !isCache) skipped.push(`cache type ${kvType}: a fleet file has f16 or q8_0`);
  const about = description ?? name;
  const capabilities: ServerDraft["capabilities"] = known.embeddings
    ? ["embeddings"]
    : known.rerank
      ? ["rerank"]
      : undefined;
  return {
    model,
    file: basename(known.model ?? ""),
    ...(port === null ? {} : { port }),
    ...(slots === null ? {} : { slots }),
    ...(context === null ? {} : { contextPerSlot: Math.floor(context / (slots ?? 2)) }),
    ...(ubatch === null ? {} : { ubatch }),
    ...(isCache ? { kvType } : {}),
    ...(capabilities === undefined ? {} : { capabilities }),
    ...(about === undefined ? {} : { description: expand(about) }),
  };
}

function portOf(text: string | undefined): number | null {
  const port = whole(text);
  return port !== null && port <= 65_535 ? port : null;
}

function whole(text: string | undefined): number | null {
  return text !== undefined && /^[1-9]\d{0,8}$/.test(text) ? Number(text) : null;
}
