// Faults of a box, one at a time: how each is caused, which check of `isha doctor` names it, and how the printed fix is
// applied.
import { chmod, rename, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { Difference, type Box } from "./box.ts";
import { MODELS } from "./fleet.ts";
import { setGpu } from "./tree.ts";
import type { Stage } from "./walk.ts";

export interface Breakage {
  readonly name: string;
  /** The check that must name it. */
  readonly check: string;
  /** What it must report. */
  readonly says: RegExp;
  /** What the printed fix must contain. */
  readonly fixes: RegExp;
  /** `unknown` for what only keeps a check from running. */
  readonly verdict?: "unknown";
  readonly harm: (box: Box, stage: Stage) => Promise<unknown>;
  readonly fix: (box: Box, stage: Stage) => Promise<unknown>;
  /** Environment of the shell in which doctor runs while the fault lasts. */
  readonly shell?: Readonly<Record<string, string>>;
  /** Put before doctor's command line while the fault lasts. */
  readonly prefix?: (box: Box) => string;
  /** @returns why it can't be caused on this machine; null if it can */
  readonly impossible?: (box: Box) => Promise<string | null>;
}

const SMALL = MODELS[0]?.pm2 ?? "";
const CLINIC = MODELS[1]?.pm2 ?? "";
const portOf = ({ tree }: Box, name: string): number =>
  tree.ports.servers[MODELS.findIndex(({ pm2 }) => pm2 === name)] ?? 0;
/** The operator's fleet file, while the box has another one. */
const OPERATORS = "fleet.operator.ts";
const secret = ({ tree }: Box, name: string): string => join(tree.home, ".isha", name);
const fault = ({ tree }: Box, name: string): string => join(tree.faults, name);

/** A restart without the fault, as after a repair. */
const restarted = (name: string) => (box: Box) => box.sh(`pm2 restart ${name}`);

/** The agent is reloaded with a change of its fleet file, and doctor runs with the operator's. */
const reloadedWith = (from: string, to: string): Pick<Breakage, "harm" | "prefix" | "fix"> => ({
  harm: (box) =>
    box.sh(
      `mv fleet.config.ts ${OPERATORS} && sed 's/${from}/${to}/' ${OPERATORS} >fleet.config.ts && pm2 reload isha-agent`,
    ),
  prefix: ({ tree }) => `ISHA_FLEET=${join(tree.clone, OPERATORS)} `,
  fix: (box) => box.sh(`mv ${OPERATORS} fleet.config.ts && pm2 reload isha-agent`),
});

let intruder: Server | null = null;

export const BREAKAGES: readonly Breakage[] = [
  {
    name: "agent stopped",
    check: "agent",
    says: /nothing listens/,
    fixes: /pm2 logs isha-agent/,
    harm: (box) => box.sh("pm2 stop isha-agent"),
    fix: restarted("isha-agent"),
  },
  {
    name: "server stopped",
    check: "pm2",
    says: new RegExp(`${CLINIC} is stopped`),
    fixes: new RegExp(`pm2 restart ${CLINIC}`),
    harm: (box) => box.sh(`pm2 stop ${CLINIC}`),
    fix: restarted(CLINIC),
  },
  {
    name: "server exits in a loop",
    check: "servers",
    says: new RegExp(`${CLINIC}\\) doesn't listen`),
    fixes: new RegExp(`pm2 logs ${CLINIC}`),
    async harm(box) {
      await writeFile(fault(box, `exit-${portOf(box, CLINIC)}`), "");
      await box.sh(`pm2 restart ${CLINIC}`);
    },
    async fix(box) {
      await rm(fault(box, `exit-${portOf(box, CLINIC)}`));
      await box.sh(`pm2 restart ${CLINIC}; pm2 reset all`);
    },
  },
  {
    name: "server restarted eleven times",
    check: "pm2",
    says: new RegExp(`${SMALL} was restarted \\d+ times`),
    fixes: /pm2 reset all/,
    harm: (box) => box.sh(`for i in 1 2 3 4 5 6 7 8 9 10 11; do pm2 restart ${SMALL}; done`),
    fix: (box) => box.sh("pm2 reset all"),
  },
  {
    name: "two llama keys",
    check: "secrets",
    says: /different keys/,
    fixes: /isha secrets rotate llama-api-key/,
    harm: (box) => writeFile(secret(box, "llama-api-key"), "another-key\n"),
    fix: (box) => box.sh("isha secrets rotate llama-api-key && pm2 restart all"),
  },
  {
    name: "servers run with the previous llama key",
    check: "servers",
    says: /refuses our key: restart it/,
    fixes: /pm2 logs/,
    harm: (box) => box.sh("isha secrets rotate llama-api-key"),
    fix: (box) => box.sh("pm2 restart all"),
  },
  {
    name: "secrets readable by others",
    check: "secrets",
    says: /agent\.env can be read by other users/,
    fixes: /chmod 600/,
    harm: (box) => chmod(secret(box, "agent.env"), 0o644),
    fix: (box) => box.sh(`chmod 600 ${secret(box, "agent.env")}`),
  },
  {
    name: "secrets missing",
    check: "secrets",
    says: /llama-api-key is missing/,
    fixes: /isha secrets init/,
    harm: (box) => rm(secret(box, "llama-api-key")),
    fix: (box) => box.sh("isha secrets init"),
  },
  {
    name: "PM2's saved list incomplete",
    check: "pm2-boot",
    says: new RegExp(`saved list lacks ${SMALL}`),
    fixes: /pm2 save/,
    harm: (box) =>
      box.sh(`pm2 delete ${SMALL} && pm2 save && pm2 start ecosystem.config.cjs --only ${SMALL}`),
    fix: (box) => box.sh("pm2 save"),
  },
  {
    name: "log rotation missing",
    check: "pm2-logs",
    says: /grow without end/,
    fixes: /pm2-logrotate/,
    harm: (box) => box.sh("pm2 delete pm2-logrotate"),
    fix: (box) => box.sh("pm2 start --name pm2-logrotate --interpreter none sleep -- 100000 && pm2 save"),
  },
  {
    name: "LLAMA_ARG_ in the environment",
    check: "llama-environment",
    says: /LLAMA_ARG_CTX_SIZE/,
    fixes: /unset LLAMA_ARG_CTX_SIZE/,
    shell: { LLAMA_ARG_CTX_SIZE: "512" },
    harm: () => Promise.resolve(),
    fix: () => Promise.resolve(),
  },
  {
    name: "another program on a server's port",
    check: "servers",
    says: /answered by another program/,
    fixes: new RegExp(`pm2 logs ${CLINIC}`),
    async harm(box) {
      await box.sh(`pm2 stop ${CLINIC}`);
      const server = createServer(
        (_request, response) => void response.writeHead(404).end("no model here\n"),
      );
      intruder = server;
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject).listen(portOf(box, CLINIC), "127.0.0.1", () => resolve());
      });
    },
    async fix(box) {
      await endIntruder();
      await box.sh(`pm2 restart ${CLINIC}`);
    },
  },
  {
    name: "slots differ from the fleet file",
    check: "servers",
    says: /has 1 slots, the fleet file 2: restart it/,
    fixes: new RegExp(`pm2 logs ${CLINIC}`),
    async harm(box) {
      await writeFile(fault(box, `arguments-${portOf(box, CLINIC)}`), "--parallel\n1\n");
      await box.sh(`pm2 restart ${CLINIC}`);
    },
    async fix(box) {
      await rm(fault(box, `arguments-${portOf(box, CLINIC)}`));
      await box.sh(`pm2 restart ${CLINIC}`);
    },
  },
  {
    name: "nvidia-smi missing",
    check: "gpu",
    says: /there is no nvidia-smi/,
    fixes: /apt install nvidia-driver/,
    harm: ({ tree }) => rename(join(tree.bin, "nvidia-smi"), join(tree.folder, "nvidia-smi")),
    fix: ({ tree }) => rename(join(tree.folder, "nvidia-smi"), join(tree.bin, "nvidia-smi")),
  },
  {
    name: "card too small",
    check: "gpu",
    says: /has 12\.0 GiB; the fleet file has vramGib 24/,
    fixes: /isha plan/,
    harm: ({ tree }) => setGpu(tree, { name: "NVIDIA GeForce RTX 3060", memoryTotalMiB: 12_288 }),
    fix: ({ tree }) => setGpu(tree, {}),
  },
  {
    name: "card used by another program",
    check: "gpu",
    says: /another program uses the card/,
    fixes: /--query-compute-apps/,
    harm: ({ tree }) => setGpu(tree, { memoryUsedMiB: 23_000 }),
    fix: ({ tree }) => setGpu(tree, {}),
  },
  {
    name: "disk full",
    check: "disk",
    says: /GiB left/,
    fixes: /pm2 flush/,
    // A mount that only this doctor sees, and that ends with it.
    prefix: ({ tree }) =>
      `unshare --mount bash -c 'mount -t tmpfs -o size=1m tmpfs ${tree.models} && exec "$@"' _ `,
    async impossible(box) {
      const { code } = await box.try(`unshare --mount mount -t tmpfs -o size=1m tmpfs ${box.tree.models}`);
      return code === 0 ? null : "this user may not mount a small file system";
    },
    harm: () => Promise.resolve(),
    fix: () => Promise.resolve(),
  },
  {
    name: "edge unreachable",
    check: "edge",
    says: /Nothing listens at/,
    fixes: /\S/,
    harm: (_box, { edge }) => edge?.stop() ?? Promise.resolve(),
    fix: (_box, { edge }) => edge?.start() ?? Promise.resolve(),
  },
  {
    name: "admin key missing",
    check: "admin-key",
    says: /no admin key/,
    fixes: /isha keys bootstrap/,
    verdict: "unknown",
    harm: (box) => rename(secret(box, "admin-key"), secret(box, "admin-key.away")),
    fix: (box) => rename(secret(box, "admin-key.away"), secret(box, "admin-key")),
  },
  {
    name: "a prompt in a server's log",
    check: "log-canary",
    says: /contains a prompt/,
    fixes: /pm2 delete llama-small && pm2 start ecosystem\.config\.cjs && pm2 save/,
    async harm(box) {
      await writeFile(fault(box, `loud-${portOf(box, SMALL)}`), "");
      // By hand, without the launch script and its filter.
      const command = await box.sh(
        `node -p 'require("./ecosystem.config.cjs").apps.find((app) => app.name === "${SMALL}").args.slice(1).map((word) => JSON.stringify(word)).join(" ")'`,
      );
      const [binary = "", ...flags] = command.trim().split(" ");
      await box.sh(
        `pm2 delete ${SMALL} && pm2 start ${binary} --name ${SMALL} --interpreter bash -- ${flags.join(" ")}`,
      );
    },
    async fix(box) {
      await rm(fault(box, `loud-${portOf(box, SMALL)}`));
      await box.sh(`pm2 delete ${SMALL} && pm2 start ecosystem.config.cjs && pm2 save`);
    },
  },
  {
    name: "invalid fleet file at a reload",
    check: "agent",
    says: /last valid fleet file; the current one is invalid: .*vramGib/,
    fixes: /pm2 reload isha-agent/,
    ...reloadedWith("vramGib: 24", "vramGib: -24"),
  },
  {
    name: "the box has another fleet file",
    check: "box-warnings",
    says: /fleet file differs from the edge's/,
    fixes: /isha status/,
    ...reloadedWith('bestFor: "general use"', 'bestFor: "trials"'),
  },
];

export async function endIntruder(): Promise<void> {
  const server = intruder;
  intruder = null;
  if (server === null) return;
  await new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
}

/** Causes the fault, waits until doctor names it, applies the fix. @returns what doctor reported */
export async function rehearse(breakage: Breakage, box: Box, stage: Stage): Promise<string> {
  const { check, says, fixes, harm, fix, shell, prefix, verdict = "wrong" } = breakage;
  await harm(box, stage);
  const seen = await box.until(`isha doctor's check ${check} reports ${says}`, async () => {
    const found = (await box.doctor(shell, prefix?.(box))).find((one) => one.check === check);
    return found?.verdict === verdict && says.test(found.text) ? found : null;
  });
  if (!fixes.test(seen.fix ?? "")) throw new Difference(`its fix is ${seen.fix ?? "none"}, not ${fixes}`);
  await fix(box, stage);
  return `${seen.check}: ${seen.text}`;
}
