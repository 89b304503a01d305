// Checks PM2 on this machine: its daemon and the Node that runs it, its processes, and that they return after a boot.
import { join } from "node:path";
import { Pm2Probe, processOf } from "../../origin-agent/probes/pm2.ts";
import type { Pm2Process } from "../../origin-agent/probes/pm2-listing.ts";
import type { RpcFailure } from "../../origin-agent/probes/pm2-rpc.ts";
import type { Box } from "../../shared/fleet.ts";
import { onBox } from "./box-checks.ts";
import { fine, unknown, wrong, type Check, type Outcome, type Surroundings } from "./check.ts";

const AGENT = "isha-agent";
/** The first with a SQLite in which the journal's mode has no known fault. */
const MIN_NODE = [24, 21] as const;
/** A process that PM2 restarted more often since its start is examined; a crash at night is one. */
const MANY_RESTARTS = 10;

export const PM2_CHECKS: readonly Check[] = [
  { name: "pm2", run: onBox(checkProcesses) },
  { name: "pm2-node", run: onBox(checkNode) },
  { name: "pm2-boot", run: onBox(checkBoot) },
  { name: "pm2-logs", run: onBox(checkLogs) },
];

const START = "pm2 start ecosystem.config.cjs && pm2 save";

async function checkProcesses(box: Box, around: Surroundings): Promise<Outcome> {
  const listed = await listing(around);
  if (typeof listed === "string") return wrong(PROBLEMS[listed], START);
  const expected = box.servers.map(({ pm2, port }) => ({
    name: pm2,
    process: processOf(listed, { name: pm2, port }),
  }));
  const agents = listed.filter(({ name }) => name === AGENT);
  const all = [
    { name: AGENT, process: agents.find(({ status }) => status === "online") ?? agents[0] ?? null },
    ...expected,
  ];
  const missing = all.filter(({ process }) => process === null).map(({ name }) => name);
  if (missing.length > 0) return wrong(`PM2 has no ${missing.join(", ")}`, START);
  const stopped = all.flatMap(({ name, process }) =>
    process === null || process.status === "online" ? [] : [{ name, status: process.status }],
  );
  if (stopped.length > 0) {
    const [{ name } = { name: AGENT }] = stopped;
    return wrong(
      stopped.map((one) => `${one.name} is ${one.status}`).join(", "),
      `pm2 logs ${name} --lines 50; then pm2 restart ${name}`,
    );
  }
  const restless = all.filter(({ process }) => (process?.restarts ?? 0) > MANY_RESTARTS);
  if (restless.length > 0) {
    const names = restless.map(
      ({ name, process }) => `${name} was restarted ${process?.restarts ?? 0} times`,
    );
    return wrong(names.join(", "), `pm2 logs ${restless[0]?.name ?? AGENT} --lines 50; then pm2 reset all`);
  }
  return fine(`${all.length} processes are online`);
}

const PROBLEMS: Readonly<Record<RpcFailure, string>> = {
  "not-running": "PM2 isn't running for this user",
  timeout: "PM2's daemon doesn't answer",
  error: "PM2's daemon returns an error",
  malformed: "PM2's daemon answers in a form that isha doesn't know",
};

async function listing({ pm2Home, machine }: Surroundings): Promise<readonly Pm2Process[] | RpcFailure> {
  let problem: RpcFailure = "not-running";
  const probe = new Pm2Probe({
    home: pm2Home,
    wallClock: machine.now,
    onProblem: (failure) => {
      problem = failure ?? problem;
    },
  });
  return (await probe.list()) ?? problem;
}

async function checkNode(_: Box, { pm2Home, machine }: Surroundings, signal: AbortSignal): Promise<Outcome> {
  const pid = (await machine.read(join(pm2Home, "pm2.pid")))?.trim() ?? "";
  if (!/^\d+$/.test(pid)) return unknown("PM2 isn't running", START);
  const ran = await machine.run(`/proc/${pid}/exe`, ["--version"], signal);
  const [, major = "", minor = ""] = /^v(\d+)\.(\d+)/.exec(ran?.out ?? "") ?? [];
  if (major === "")
    return unknown("this system doesn't show which Node runs PM2", "pm2 report | grep -i node");
  const isNew =
    Number(major) > MIN_NODE[0] || (Number(major) === MIN_NODE[0] && Number(minor) >= MIN_NODE[1]);
  return isNew
    ? fine(`the daemon runs on Node ${major}.${minor}`)
    : wrong(
        `the daemon runs on Node ${major}.${minor}; the agent needs ${MIN_NODE.join(".")} or later`,
        `Install Node ${MIN_NODE.join(".")}, then: pm2 update`,
      );
}

async function checkBoot(
  box: Box,
  { pm2Home, machine }: Surroundings,
  signal: AbortSignal,
): Promise<Outcome> {
  const dump = await machine.read(join(pm2Home, "dump.pm2"));
  const names = [AGENT, ...box.servers.map(({ pm2 }) => pm2)];
  const saved = new Set(savedNames(dump));
  const missing = names.filter((name) => !saved.has(name));
  if (missing.length > 0) {
    return wrong(
      dump === null ? "PM2's processes were never saved" : `PM2's saved list lacks ${missing.join(", ")}`,
      "pm2 save",
    );
  }
  const ran = await machine.run("systemctl", ["is-enabled", `pm2-${box.user}`], signal);
  if (ran === null)
    return unknown("this machine has no systemd", "Make sure that its init starts PM2: pm2 startup");
  return ran.out.trim() === "enabled"
    ? fine("PM2 starts at boot, with all processes")
    : wrong("PM2 doesn't start at boot", "pm2 startup (and run the line that it prints), then pm2 save");
}

/** Names alone: the file holds every process's environment. */
function savedNames(dump: string | null): string[] {
  try {
    const listed: unknown = JSON.parse(dump ?? "[]");
    if (!Array.isArray(listed)) return [];
    return listed.flatMap((item: unknown) =>
      typeof item === "object" && item !== null && "name" in item && typeof item.name === "string"
        ? [item.name]
        : [],
    );
  } catch {
    return [];
  }
}

async function checkLogs(_: Box, around: Surroundings): Promise<Outcome> {
  const { machine } = around;
  const listed = await listing(around);
  if (typeof listed !== "string" && listed.some(({ name }) => name === "pm2-logrotate"))
    return fine("pm2-logrotate runs");
  for (const name of ["isha", "pm2"]) {
    if ((await machine.mode(`/etc/logrotate.d/${name}`)) !== null)
      return fine(`logrotate has /etc/logrotate.d/${name}`);
  }
  return wrong("PM2's logs grow without end", "pm2 install pm2-logrotate && pm2 set pm2-logrotate:retain 14");
}
