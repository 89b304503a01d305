// Puts together the machine and the network that `isha doctor` examines.
import shipped from "../../../../fleet.config.ts";
import { BOX_CHECKS } from "../../../../cli/doctor/box-checks.ts";
import { runChecks, type Result, type Surroundings } from "../../../../cli/doctor/check.ts";
import { EDGE_CHECKS } from "../../../../cli/doctor/edge-checks.ts";
import type { Answered, Machine, Ran } from "../../../../cli/doctor/machine.ts";
import { PM2_CHECKS } from "../../../../cli/doctor/pm2-checks.ts";
import { SERVER_CHECKS } from "../../../../cli/doctor/server-checks.ts";
import { tunnelChecks } from "../../../../cli/doctor/tunnel-checks.ts";

export const [BOX] = shipped.boxes;
export const CHECKS = [
  ...EDGE_CHECKS,
  ...tunnelChecks(shipped),
  ...BOX_CHECKS,
  ...PM2_CHECKS,
  ...SERVER_CHECKS,
];
const NOW = Date.parse("2026-11-23T14:30:00Z");

export interface World {
  /** By URL; a function fails. */
  readonly answers?: Readonly<Record<string, Partial<Omit<Answered, "headers">> & { headers?: HeadersInit }>>;
  readonly programs?: Readonly<Record<string, Ran>>;
  readonly files?: Readonly<Record<string, string>>;
  readonly modes?: Readonly<Record<string, number>>;
  readonly freeGib?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly onBox?: boolean;
}

export function around({
  answers = {},
  programs = {},
  files = {},
  modes = {},
  freeGib = 100,
  env = {},
  onBox = true,
}: World): Surroundings {
  const machine: Machine = {
    env,
    now: () => NOW,
    fetch: (url) => {
      const answer = answers[url];
      if (answer === undefined)
        return Promise.reject(
          new TypeError("fetch failed", { cause: Object.assign(new Error("none"), { code: "ENOTFOUND" }) }),
        );
      const { status = 200, text = "", headers = {} } = answer;
      return Promise.resolve({ status, text, headers: new Headers(headers) });
    },
    run: (command, [first = ""]) =>
      Promise.resolve(programs[`${command} ${first}`] ?? programs[command] ?? null),
    read: (path) => Promise.resolve(files[path] ?? null),
    tail: (path) => Promise.resolve(files[path] ?? null),
    mode: (path) => Promise.resolve(modes[path] ?? (path in files ? 0o600 : null)),
    disk: () => Promise.resolve({ freeGib, totalGib: 500 }),
  };
  return {
    command: "isha doctor",
    fleet: shipped,
    url: "https://ai.isha.buzz",
    adminKey: "dev-admin",
    box: onBox ? (BOX ?? null) : null,
    agentUrl: "http://127.0.0.1:8000",
    secretFolder: "/home/isha/.isha",
    pm2Home: "/home/isha/.pm2",
    machine,
  };
}

export async function check(name: string, world: World): Promise<Result> {
  const found = CHECKS.find((one) => one.name === name);
  if (found === undefined) throw new Error(`there is no check ${name}`);
  const [result] = await runChecks([found], around(world), new AbortController().signal);
  if (result === undefined) throw new Error("a check has a result");
  return result;
}

export const DUMP_FILE = "/home/isha/.pm2/dump.pm2";
export const DUMP = JSON.stringify([
  { name: "isha-agent" },
  ...(BOX?.servers ?? []).map(({ pm2 }) => ({ name: pm2 })),
]);
export const LLAMA = BOX?.llamaServerBin ?? "";
export const HEALTH = "https://ai.isha.buzz/healthz?require=all";
