// Checks the llama-servers of this machine: the binary's build and flags, what runs on each port, stray settings in the
// environment, and that no log holds what clients send.
import { join } from "node:path";
import { randomBytes } from "node:crypto";
import { parseEnv } from "node:util";
import type { Box } from "../../shared/fleet.ts";
import { flagsInHelp, llamaFlags } from "../generate/llama-flags.ts";
import { objectOf } from "../json-object.ts";
import { SECRET_FILES } from "../secrets/secret-files.ts";
import { onBox } from "./box-checks.ts";
import { fine, unknown, wrong, type Check, type Outcome, type Surroundings } from "./check.ts";

const LOG_BYTES = 512 * 1024;

export const SERVER_CHECKS: readonly Check[] = [
  { name: "llama-build", run: onBox(checkBuild) },
  { name: "llama-flags", run: onBox(checkFlags) },
  { name: "llama-environment", run: onBox(checkEnvironment) },
  { name: "servers", run: onBox(checkServers) },
  { name: "log-canary", run: onBox(checkLogs) },
];

async function checkBuild(
  { llamaServerBin }: Box,
  { machine }: Surroundings,
  signal: AbortSignal,
): Promise<Outcome> {
  const ran = await machine.run(llamaServerBin, ["--version"], signal);
  if (ran === null)
    return wrong(
      `${llamaServerBin} is missing or not executable`,
      "Build or install it: docs/deploy.md, step llama.cpp.",
    );
  const build = buildOf(ran.out);
  return build === null
    ? unknown(`${llamaServerBin} --version prints no build`, `Run it: ${llamaServerBin} --version`)
    : fine(`${llamaServerBin} is build ${build}`);
}

/** `version: 6912 (de3ff81)`, `version: b6912`, or `version: 0.4.0-dev (build 6912, commit de3ff81)`. */
export function buildOf(output: string): string | null {
  const line = /^version: (.+)$/m.exec(output)?.[1];
  if (line === undefined) return null;
  const number = /\bbuild (\d+)/.exec(line)?.[1] ?? /^b?(\d+)(?= |$)/.exec(line)?.[1];
  const commit = /\b([0-9a-f]{7,40})\b(?=\))/.exec(line)?.[1];
  if (number === undefined) return null;
  return commit === undefined ? `b${number}` : `b${number} (${commit})`;
}

async function checkFlags(box: Box, { machine }: Surroundings, signal: AbortSignal): Promise<Outcome> {
  const ran = await machine.run(box.llamaServerBin, ["--help"], signal);
  if (ran === null) return unknown("there is no llama-server", "See the check llama-build.");
  const knownFlags = flagsInHelp(ran.out);
  try {
    for (const server of box.servers) llamaFlags(box, server, { apiKeyFile: "llama-api-key", knownFlags });
    return fine("the binary knows every flag that the generated file uses");
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return wrong(
      error.message.replaceAll(/\s*\n\s*-?\s*/g, " "),
      "Install another build, or change the fleet file's flags.",
    );
  }
}

/** llama-server takes every setting from `LLAMA_ARG_…` too; one that is left over from a trial would win silently. */
async function checkEnvironment(
  { servers }: Box,
  around: Surroundings,
  signal: AbortSignal,
): Promise<Outcome> {
  const { machine } = around;
  const key = await llamaApiKey(around);
  const own = Object.keys(machine.env).filter((name) => name.startsWith("LLAMA_ARG_"));
  if (own.length > 0)
    return wrong(`this shell sets ${own.join(", ")}`, `unset ${own.join(" ")}; remove them from the profile`);
  for (const { port, pm2 } of servers) {
    const props = await propsOf(port, key, around, signal);
    if (props?.["is_sleeping"] === true)
      return wrong(`${pm2} sleeps when idle`, "Remove --sleep-idle-seconds from its flags.");
    if (props?.["role"] === "router")
      return wrong(`${pm2} runs as a router`, "Start it with -m <file>: pm2 start ecosystem.config.cjs");
  }
  return fine("no LLAMA_ARG_ variables; no server sleeps or routes");
}

async function llamaApiKey({ machine, secretFolder }: Surroundings): Promise<string> {
  const text = await machine.read(join(secretFolder, SECRET_FILES.agentEnv));
  return parseEnv(text ?? "")["LLAMA_API_KEY"] ?? "";
}

async function propsOf(port: number, key: string, { machine }: Surroundings, signal: AbortSignal) {
  const init = { headers: { authorization: `Bearer ${key}` } };
  const answer = await machine.fetch(`http://127.0.0.1:${port}/props`, init, signal).catch(() => null);
  return answer === null ? null : objectOf(answer.text);
}

async function checkServers(box: Box, around: Surroundings): Promise<Outcome> {
  const key = await llamaApiKey(around);
  // It loads undici, which takes a tenth of a second and which no other command needs.
  const { serverFault } = await import("./server-fault.ts");
  const found = await Promise.all(
    box.servers.map(async (server) => ({ server, fault: await serverFault(server, key) })),
  );
  const faults = found.filter(({ fault }) => fault !== null);
  if (faults.length === 0)
    return fine(`${box.servers.map(({ port }) => port).join(", ")} are ready with the planned slots`);
  const names = faults.map(({ server, fault }) => `${server.port} (${server.pm2}) ${fault ?? ""}`);
  return wrong(names.join(", "), `pm2 logs ${faults[0]?.server.pm2 ?? ""} --lines 50`);
}

/** Sends a random word through every server and looks for it in what PM2 keeps of their output. */
async function checkLogs(box: Box, around: Surroundings, signal: AbortSignal): Promise<Outcome> {
  const { machine, url, adminKey, pm2Home } = around;
  if (adminKey === null)
    return unknown("there is no key here that may call a model", "Put one into ~/.isha/admin-key.");
  const canary = `canary${randomBytes(8).toString("hex")}`;
  for (const { port } of box.servers) {
    const { status } = await machine.fetch(
      `${url}/v1/chat/completions`,
      {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${adminKey}` },
        body: JSON.stringify({
          model_port: port,
          fallback: false,
          max_tokens: 1,
          messages: [{ role: "user", content: canary }],
        }),
      },
      signal,
    );
    if (status === 401 || status === 403)
      return unknown(`the key may not call ${port} (${status})`, "Use a key with the scope infer.");
    if (status !== 200) return unknown(`${port} answers ${status}`, "See the check servers.");
  }
  const names = ["isha-agent", ...box.servers.map(({ pm2 }) => pm2)];
  for (const name of names) {
    for (const stream of ["out", "error"]) {
      const path = join(pm2Home, "logs", `${name}-${stream}.log`);
      if ((await machine.tail(path, LOG_BYTES))?.includes(canary) === true) {
        return wrong(
          `${path} contains a prompt`,
          `Start it from the generated file, whose filter drops them: pm2 delete ${name} && pm2 start ecosystem.config.cjs && pm2 save`,
        );
      }
    }
  }
  return fine("no log of PM2 contains the prompt that was just sent to each server");
}
