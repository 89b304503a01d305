// The names of the fleet and the request id that examples use, and the examples in Mediczy's format.
import type { FleetConfig } from "../../../shared/fleet.ts";

/** Names of the fleet that examples use. */
export interface ExampleNames {
  readonly agent: string;
  readonly model: string;
  readonly file: string;
  readonly port: number;
  readonly box: string;
  /** A model with this capability. */
  readonly embedder: string;
  readonly reranker: string;
}

export const REQUEST_ID = "req_0f8e2c54a9d04b7d8a51f0c2b1e6d3a7";

export const ANSWER = "Chest pain can have many causes.";

/** Names for the examples: of a server that has agent types, and of servers with rarer capabilities. */
export function exampleNames(fleet: FleetConfig): ExampleNames {
  const servers = fleet.boxes.flatMap((box) => box.servers.map((server) => ({ box: box.name, server })));
  const chats = servers.filter(({ server }) => server.capabilities.includes("chat"));
  const pool = chats.length > 0 ? chats : servers;
  const largest = pool
    .filter(({ server }) => server.agents.length > 0)
    .toSorted((a, b) => b.server.port - a.server.port)[0];
  const { box, server } = largest ?? pool[0] ?? { box: "", server: undefined };
  if (server === undefined) throw new Error("the fleet has no server");
  const able = (capability: "embeddings" | "rerank"): string =>
    servers.find((candidate) => candidate.server.capabilities.includes(capability))?.server.model ?? "";
  return {
    agent: server.agents[0] ?? "Default",
    model: server.model,
    file: server.file,
    port: server.port,
    box,
    embedder: able("embeddings"),
    reranker: able("rerank"),
  };
}

/** What Mediczy's format has at the end of an answer. */
const endOf = ({ agent, port, box }: ExampleNames): object => ({
  usage: { prompt_tokens: 18, completion_tokens: 8, total_tokens: 26 },
  isha: { port, box, agent_type: agent, queue_ms: 0, fallback_from: null },
});

export function mediczyExample(names: ExampleNames): object {
  return {
    id: "cmpl-209bgOANLtAvYfNq9jpGI0e1MWaq3317",
    object: "text_completion",
    created: 1769206284,
    model: names.file,
    choices: [
      { index: 0, text: ANSWER, message: { role: "assistant", content: ANSWER }, finish_reason: "stop" },
    ],
    ...endOf(names),
  };
}

/** The first and the last events of a stream in Mediczy's format. */
export function mediczyStream(names: ExampleNames): string {
  const event = (text: string, finish_reason: string | null, more: object = {}): string =>
    `data: ${JSON.stringify({
      id: "cmpl-209bgOAN",
      object: "text_completion",
      created: 1769206284,
      model: names.file,
      choices: [{ index: 0, text, delta: text === "" ? {} : { content: text }, finish_reason }],
      ...more,
    })}\n\n`;
  return `${event("Chest", null)}${event(" pain", null)}${event("", "stop", endOf(names))}data: [DONE]\n\n`;
}
