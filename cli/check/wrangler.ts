// Runs wrangler and reads wrangler.toml as wrangler itself does.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import * as z from "zod";

export interface WranglerRun {
  readonly code: number;
  /** stdout and stderr together. */
  readonly out: string;
}

interface WranglerOptions {
  /** The project's folder. */
  readonly root: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** Gets the output as it comes. */
  readonly onOutput?: (text: string) => unknown;
}

/** Without its own questions, updates and reports. */
const QUIET = {
  CI: "1",
  NO_COLOR: "1",
  FORCE_COLOR: "0",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_WRITE_LOGS: "false",
} as const;

/** For a command that needs no account: wrangler calls no service of Cloudflare. */
export const OFFLINE = { CLOUDFLARE_CF_FETCH_ENABLED: "false" } as const;

/** Runs the wrangler on the PATH; null if there is none. It gets no input, so it can't wait for an answer. */
export function runWrangler(
  args: readonly string[],
  { root, env, signal, onOutput }: WranglerOptions,
): Promise<WranglerRun | null> {
  return new Promise((resolve, reject) => {
    const child = spawn("wrangler", args, {
      cwd: root,
      env: { ...env, ...QUIET },
      stdio: ["ignore", "pipe", "pipe"],
      signal,
    });
    let out = "";
    const take = (text: string): void => {
      out += text;
      onOutput?.(text);
    };
    child.stdout.setEncoding("utf8").on("data", take);
    child.stderr.setEncoding("utf8").on("data", take);
    child.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") resolve(null);
      else reject(error);
    });
    child.on("close", (code) => resolve({ code: code ?? 1, out }));
  });
}

/** The first lines from wrangler's own error on, in one line, for a failure's report. */
export function wranglerError(out: string): string {
  const lines = stripVTControlCharacters(out)
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const start = lines.findIndex((line) => /error/i.test(line));
  return lines.slice(Math.max(start, 0), Math.max(start, 0) + SHOWN_LINES).join(" ");
}

const SHOWN_LINES = 3;

const Binding = z.object({ name: z.string(), class_name: z.string() });
const Route = z.union([
  z.string().transform((pattern) => ({ pattern, custom_domain: false })),
  z.object({ pattern: z.string(), custom_domain: z.boolean().default(false) }),
]);
const Migration = z.object({
  new_classes: z.array(z.string()).default([]),
  new_sqlite_classes: z.array(z.string()).default([]),
  renamed_classes: z.array(z.object({ from: z.string(), to: z.string() })).default([]),
  deleted_classes: z.array(z.string()).default([]),
});
const Config = z.object({
  name: z.string(),
  definedEnvironments: z.array(z.string()).default([]),
  routes: z.array(Route).default([]),
  vars: z.record(z.string(), z.unknown()).default({}),
  secrets: z.object({ required: z.array(z.string()).default([]) }).default({ required: [] }),
  durable_objects: z.object({ bindings: z.array(Binding) }),
  migrations: z.array(Migration),
  ratelimits: z.array(z.object({ name: z.string(), namespace_id: z.string().default("") })).default([]),
  assets: z.object({ binding: z.string().optional() }).optional(),
  limits: z.object({ cpu_ms: z.number().optional() }).optional(),
});

/** What an environment of wrangler.toml deploys. */
export type Environment = z.infer<typeof Config>;

/**
 * The environments of wrangler.toml by name; the top level has the name "".
 * @throws Error of wrangler if the file is missing or invalid
 */
export async function readEnvironments(root: string): Promise<ReadonlyMap<string, Environment>> {
  const { unstable_readConfig: readConfig } = await import("wrangler");
  const read = (env: string): Environment =>
    Config.parse(readConfig({ config: join(root, "wrangler.toml"), env }, { hideWarnings: true }));
  const top = read("");
  return new Map([["", top] as const, ...top.definedEnvironments.map((env) => [env, read(env)] as const)]);
}
