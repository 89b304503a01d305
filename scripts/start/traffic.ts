// Sends a gentle mixed load to the edge, for `npm start -- --traffic`: agents, streams, OpenAI's and Anthropic's forms, and
// a few calls that are refused. What it sends next is a pure choice; the clock and the randomness are passed in.
import { DEFAULT_AGENT, type FleetConfig } from "../../shared/fleet.ts";
import { DEV_KEY } from "../../shared/keys.ts";

/** The mean pause between two calls; a pause is between half of it and half as long again. */
const PAUSE_MS = 450;

/** No call is sent while this number of calls runs: a slow machine gets less load. */
const MAX_RUNNING = 8;

const CALL_MS = 60_000;

const QUESTIONS = [
  "Patient complaint: chest pain",
  "What is my coverage for physiotherapy?",
  "What does a beta blocker do?",
  "Summarise this visit: sore throat for three days, no fever.",
  "Which documents does a claim for a broken arm need?",
];

export interface TrafficCall {
  path: string;
  body: Record<string, unknown>;
}

/** @param random from 0 to below 1 */
export function nextCall(fleet: FleetConfig, random: () => number): TrafficCall {
  const pick = <T>(list: readonly [T, ...T[]] | readonly T[]): T | undefined =>
    list[Math.floor(random() * list.length)];
  const servers = fleet.boxes.flatMap(({ servers }) =>
    servers.filter(({ capabilities }) => capabilities.includes("chat")),
  );
  const messages = [{ role: "user", content: pick(QUESTIONS) }];
  const limit = { max_tokens: 20 + Math.floor(random() * 100) };
  const path = "/v1/chat/completions";
  const kind = random();
  // A model that doesn't exist, and a field of the wrong type: the callers' faults.
  if (kind < 0.03) return { path, body: { model: "gpt-4", messages, ...limit } };
  if (kind < 0.05) return { path, body: { model: DEFAULT_AGENT, messages: [{ role: "user", content: 1 }] } };
  const model = pick(servers)?.model ?? DEFAULT_AGENT;
  if (kind < 0.15) return { path, body: { model, messages, ...limit, stream: random() < 0.5 } };
  if (kind < 0.2) return { path: "/v1/messages", body: { model, messages, ...limit } };
  const agents = [...new Set([DEFAULT_AGENT, ...servers.flatMap(({ agents }) => agents)])];
  return { path, body: { agent_type: pick(agents), messages, ...limit, stream: random() < 0.7 } };
}

/** Sends until the signal. A call's failure is what the console is there to show, so it is no failure here. */
export function startTraffic(edge: string, fleet: FleetConfig, signal: AbortSignal) {
  let running = 0;
  let timer: NodeJS.Timeout | undefined;
  const send = async () => {
    const { path, body } = nextCall(fleet, Math.random);
    running += 1;
    try {
      const response = await fetch(edge + path, {
        method: "POST",
        headers: { authorization: `Bearer ${DEV_KEY}`, "content-type": "application/json" },
        body: JSON.stringify(body),
        signal: AbortSignal.any([signal, AbortSignal.timeout(CALL_MS)]),
      });
      for await (const chunk of response.body ?? []) void chunk;
    } catch {
      // The edge ended, or this is the end.
    } finally {
      running -= 1;
    }
  };
  const next = () => {
    timer = setTimeout(
      () => {
        if (running < MAX_RUNNING) void send();
        next();
      },
      PAUSE_MS * (0.5 + Math.random()),
    );
  };
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  if (!signal.aborted) next();
}
