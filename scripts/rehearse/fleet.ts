// Answers to `isha init`: one box with three servers on free ports. Pure.

export const BOX = "box1";

export interface Ports {
  readonly agent: number;
  readonly edge: number;
  /** In the fleet file's order. */
  readonly servers: readonly number[];
}

export interface Model {
  readonly pm2: string;
  readonly file: string;
  readonly weightsGib: number;
  readonly agents: readonly string[];
}

export const MODELS: readonly Model[] = [
  { pm2: "llama-small", file: "small.gguf", weightsGib: 1.1, agents: [] },
  { pm2: "llama-clinic", file: "clinic-8b.gguf", weightsGib: 6.1, agents: ["Clinical"] },
  { pm2: "llama-claims", file: "claims-8b.gguf", weightsGib: 5.3, agents: ["Claims", "Billing"] },
];

/** The command of docs/deploy.md with all its answers as options; the card is what nvidia-smi reports. */
export function initCommand(
  { agent, servers }: Ports,
  { llamaServer, models }: { readonly llamaServer: string; readonly models: string },
): string {
  const lines = MODELS.map(({ pm2, file, agents }, at) => {
    const fields = [`port=${servers[at]}`, `pm2=${pm2}`, `model=${pm2.replace("llama-", "Rehearsal-")}`];
    const types = agents.length === 0 ? [] : [`agents=${agents.join("+")}`];
    return `--server ${[...fields, `file=${file}`, ...types].join()}`;
  });
  // There is no tunnel here: the origin is the agent itself.
  const box = `--box ${BOX} --origin http://127.0.0.1:${agent} --llama-server ${llamaServer} --models ${models}`;
  return `isha init --force --domain ai.rehearsal.example --location enam ${box} ${lines.join(" ")}`;
}
