// The box's half of docs/deploy.md, from an empty home to the first answered call, and a boot of the machine. Each step
// returns what an operator sees.
import { appendFile, readFile, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { Difference, LIMIT_MS, type Box, type Finding } from "./box.ts";
import { openEdge, type Edge } from "./edge.ts";
import { initCommand, MODELS } from "./fleet.ts";
import { writeModels } from "./tree.ts";

export interface Step {
  readonly name: string;
  /** Left out of `--walk`, because tests of its own cover it. */
  readonly isInTests?: true;
  /** @returns what was seen. @throws Difference */
  readonly run: (box: Box, stage: Stage) => Promise<string>;
}

/** What later steps need of earlier ones. */
export interface Stage {
  edge: Edge | null;
  clientKey: string;
}

/** This tree has no systemd, and `wrangler dev` sends no Date, which Cloudflare adds. */
const EXPECTED_UNKNOWN = new Set(["pm2-boot", "clock"]);

/** What stands against "all fine". */
export const notFine = (findings: readonly Finding[]): Finding[] =>
  findings.filter(
    ({ check, verdict }) => verdict === "wrong" || (verdict === "unknown" && !EXPECTED_UNKNOWN.has(check)),
  );

export const described = (findings: readonly Finding[]): string =>
  findings.map(({ check, verdict, text }) => `${check} (${verdict}): ${text}`).join("; ");

export const untilFine = (box: Box): Promise<readonly Finding[]> =>
  box.until("isha doctor finds everything fine", async () => {
    const findings = await box.doctor();
    return notFine(findings).length === 0 ? findings : null;
  });

export const WALK: readonly Step[] = [
  {
    name: "init",
    async run({ sh, tree }) {
      const { bin, clone, models, ports } = tree;
      await writeModels(tree);
      const out = await sh(`${initCommand(ports, { llamaServer: join(bin, "llama-server"), models })} 2>&1`);
      await setRoutes(join(clone, "wrangler.toml"), out);
      const text = await readFile(join(clone, "fleet.config.ts"), "utf8");
      const expected = [
        /vramGib: 24,/,
        ...MODELS.map(({ weightsGib }) => new RegExp(`weightsGib: ${weightsGib},`)),
      ];
      const missing = expected.filter((line) => !line.test(text));
      if (missing.length > 0) throw new Difference(`the fleet file lacks ${missing.join()}:\n${text}`);
      return "a fleet file with the card of nvidia-smi and the weights of the GGUF files";
    },
  },
  {
    name: "secrets init",
    async run({ sh, tree }) {
      await sh("isha secrets init");
      const folder = join(tree.home, ".isha");
      for (const name of ["agent.env", "llama-api-key", "admin-key", "worker-secrets.json"]) {
        const { mode } = await stat(join(folder, name));
        if ((mode & 0o077) !== 0) throw new Difference(`${name} can be read by other users`);
      }
      // A real box needs neither: its edge has the fleet file's domain, its agent port 8000.
      await appendFile(
        join(folder, "agent.env"),
        `EDGE_URL=${tree.edgeUrl}\nAGENT_PORT=${tree.ports.agent}\n`,
      );
      return "four files, for their owner alone";
    },
  },
  {
    name: "plan",
    async run(box) {
      const [plan] = JSON.parse(await box.sh("isha plan --json")) as {
        fits: boolean;
        total_gib: number;
        allowed_gib: number;
        servers: { from: string }[];
      }[];
      if (plan?.fits !== true || plan.servers.some(({ from }) => from !== "gguf"))
        throw new Difference(`isha plan reports ${JSON.stringify(plan)}`);
      return `fits by its GGUF files: ${plan.total_gib.toFixed(1)} of ${plan.allowed_gib.toFixed(1)} GiB`;
    },
  },
  {
    name: "generate",
    async run({ sh, tree }) {
      await sh("isha generate --box box1 --ask-binary");
      const text = await readFile(join(tree.clone, "ecosystem.config.cjs"), "utf8");
      const missing = MODELS.filter(({ pm2 }) => !text.includes(pm2));
      if (missing.length > 0)
        throw new Difference(`ecosystem.config.cjs lacks ${missing.map(({ pm2 }) => pm2).join()}`);
      return "ecosystem.config.cjs, with flags that the binary knows";
    },
  },
  {
    name: "check",
    isInTests: true,
    async run({ sh }) {
      const findings = JSON.parse(await sh("isha check --json")) as Finding[];
      return `${findings.length} checks of the clone, all fine`;
    },
  },
  {
    name: "deploy the edge",
    async run(box, stage) {
      stage.edge = await openEdge(box.tree);
      return "wrangler dev with the new secrets answers /livez";
    },
  },
  {
    name: "pm2 start, pm2 save",
    async run({ sh }) {
      await sh("pm2 start ecosystem.config.cjs");
      // On a box: pm2 install pm2-logrotate, which comes from a registry.
      await sh("pm2 start --name pm2-logrotate --interpreter none sleep -- 100000 && pm2 save");
      return `${MODELS.length + 1} programs and the log rotation`;
    },
  },
  {
    name: "doctor",
    async run(box) {
      const findings = await untilFine(box);
      const verdicts = (verdict: string): string[] =>
        findings.flatMap((finding) => (finding.verdict === verdict ? [finding.check] : []));
      const unknown = verdicts("unknown");
      const skipped = verdicts("skipped");
      return `${verdicts("fine").length} fine; not checkable here: ${unknown.join(", ")}; not applicable: ${skipped.join(", ")}`;
    },
  },
  {
    name: "smoke",
    async run({ sh }) {
      const steps = JSON.parse(await sh("isha smoke --json")) as { ok: boolean }[];
      return `${steps.length} steps, all as in the contract`;
    },
  },
  {
    name: "first call",
    async run(box, stage) {
      const created = JSON.parse(await box.sh("isha keys create --name rehearsal --json")) as { key: string };
      stage.clientKey = created.key;
      return call(box, stage);
    },
  },
];

/** Sets the routes of wrangler.toml by hand, to the lines that `isha init` printed. */
async function setRoutes(file: string, printed: string): Promise<void> {
  const [production = "", staging = ""] = printed.match(/(?<=^ {5})routes = .*$/gm) ?? [];
  const lines = [production, production, staging];
  const text = await readFile(file, "utf8");
  await writeFile(
    file,
    text.replaceAll(/^routes = .*$/gm, () => lines.shift() ?? ""),
  );
}

/** A client's call by agent type. */
async function call(box: Box, { clientKey }: Stage): Promise<string> {
  const { edgeUrl, ports } = box.tree;
  const body = JSON.stringify({
    agent_type: "Clinical",
    max_tokens: 8,
    messages: [{ role: "user", content: "Good morning." }],
  });
  const url = `${edgeUrl}/v1/chat/completions`;
  const hasCurl = await has(box, "curl");
  const out = hasCurl ? await curl(box, { url, body, key: clientKey }) : await post(url, body, clientKey);
  const { isha, usage } = JSON.parse(out) as {
    isha?: { agent_type?: string; box?: string; port?: number };
    usage?: { completion_tokens?: number };
  };
  if (isha?.agent_type !== "Clinical" || isha.port !== ports.servers[1])
    throw new Difference(`the call was answered by ${JSON.stringify(isha)}`);
  const text = `${isha.box}:${MODELS[1]?.pm2 ?? ""} answered with ${usage?.completion_tokens ?? 0} tokens`;
  return hasCurl ? text : `${text}; not by curl, which this machine lacks`;
}

const has = async (box: Box, program: string): Promise<boolean> =>
  (await box.try(`command -v ${program}`)).code === 0;

/** The key reaches curl by its environment and its input, never by its arguments. */
const curl = ({ sh }: Box, { url, body, key }: { url: string; body: string; key: string }): Promise<string> =>
  sh(
    `printf 'header = "Authorization: Bearer %s"' "$KEY" | curl --silent --show-error --fail-with-body --config - ` +
      `--header 'content-type: application/json' --data '${body}' ${url}`,
    { KEY: key },
  );

async function post(url: string, body: string, key: string): Promise<string> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const response = await fetch(url, { method: "POST", headers, body, signal: AbortSignal.timeout(LIMIT_MS) });
  const text = await response.text();
  if (!response.ok) throw new Difference(`the call was answered with ${response.status}: ${text}`);
  return text;
}

export const COLD_BOOT: readonly Step[] = [
  {
    name: "everything stopped",
    async run({ sh, tree, until }) {
      await sh("pm2 save && pm2 kill");
      const ports = [tree.ports.agent, ...tree.ports.servers];
      await until("every port is closed", async () =>
        (await Promise.all(ports.map(listens))).every((open) => !open) ? true : null,
      );
      return `${ports.length} ports are closed`;
    },
  },
  {
    name: "pm2 resurrect: one server loads at a time, all become ready",
    async run(box) {
      // Without flock, servers don't wait for each other (origin-agent/llama-log/launch-llama.sh).
      const inTurn = await has(box, "flock");
      const ready: number[] = [];
      const resurrected = box.sh("pm2 resurrect");
      const allReady = box.until("all servers are ready", async () => {
        const { servers } = box.tree.ports;
        const states = await Promise.all(servers.map(healthOf));
        const [one, other] = servers.filter((_, at) => states[at] === "loading");
        if (inTurn && one !== undefined && other !== undefined && (await loadTogether(one, other)))
          throw new Difference(`the servers on ${one} and ${other} load at the same time`);
        states.forEach((state, at) => void (state === "ready" && !ready.includes(at) && ready.push(at)));
        return ready.length === states.length ? true : null;
      });
      await Promise.all([resurrected, allReady]);
      const order = `ready in this order: ${ready.map((at) => MODELS[at]?.pm2 ?? "").join(", ")}`;
      return inTurn ? order : `${order}; loaded at the same time, because this machine lacks flock`;
    },
  },
  {
    name: "doctor and a call after the boot",
    async run(box, stage) {
      await untilFine(box);
      return call(box, stage);
    },
  },
];

/** Parallel looks are of different moments: the second one here is between two of the other server. */
async function loadTogether(one: number, other: number): Promise<boolean> {
  for (const port of [one, other, one]) if ((await healthOf(port)) !== "loading") return false;
  return true;
}

async function healthOf(port: number): Promise<"down" | "loading" | "ready"> {
  try {
    const { status } = await fetch(`http://127.0.0.1:${port}/health`, {
      signal: AbortSignal.timeout(LIMIT_MS),
    });
    return status === 200 ? "ready" : "loading";
  } catch {
    return "down";
  }
}

export function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
