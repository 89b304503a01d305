// A seeded storm over a box: clients that stream chats without pause while its servers are killed, told to go,
// stalled, cut off and slowed. It judges each call by the answer the same server gives when nothing is wrong.
import fleet from "../../../fleet.config.ts";
import { SeededRandom } from "../../shared/seeded-random.ts";
import type { Switches } from "../../sim/llama/switches.ts";
import type { State } from "../../sim/start.ts";
import { callAgent, callFor, codeOf, figure, readStream, until, type AgentAddress } from "./agent-call.ts";
import type { Told, Usage } from "./agent-call.ts";

/** A box whose servers can be harmed. */
export interface HarmedBox extends AgentAddress {
  readonly llamaApiKey: string;
  readonly ports: readonly number[];
  url(port: number): string;
  controlUrl(port: number): string;
  /** Sends a signal to a server; something starts another in its place, which must load. */
  signal(port: number, signal: NodeJS.Signals): Promise<void>;
}

export const PACE = { tokensPerSecond: 90, promptTokensPerSecond: 4_000 } as const;

/** What the storm does, in an order the seed decides. None of it can happen to one server twice at once. */
const HARMS = [
  "SIGKILL",
  "SIGKILL",
  "SIGKILL",
  "SIGTERM",
  "SIGTERM",
  "cut",
  "cut",
  "cut",
  "cut",
  "busy-after-abort",
  "busy-after-abort",
] as const;

/** What the design lets a call end with that a broken box can't serve. */
const PERMITTED: ReadonlySet<string> = new Set([
  "upstream_failed",
  "upstream_timeout",
  "model_unavailable",
  "model_loading",
  "overloaded",
  "deadline_exceeded",
]);

const PROMPTS = Array.from(
  ["cough", "claim", "migraine", "invoice", "fever", "policy", "asthma", "rash", "deductible", "anaemia"],
  (word) => `Patient complaint: ${word} since Tuesday, getting worse`,
);
/** Tokens; the last is past the end that an answer comes to by itself. */
const CAPS = [40, 90, 400] as const;

interface Whole {
  readonly text: string;
  readonly finish: string;
  readonly usage: Usage;
}

export type References = ReadonlyMap<string, Whole>;
const referenceName = (file: string, prompt: string, cap: number): string => `${file}|${prompt}|${cap}`;

/** What each model answers to each question when nobody disturbs it. */
export async function takeReferences(box: HarmedBox): Promise<References> {
  const found = new Map<string, Whole>();
  for (const server of fleet.boxes[0]?.servers ?? []) {
    if (server.port === 8082) continue;
    await switchOn(box, server.port, { tokensPerSecond: 0, promptTokensPerSecond: 0 });
    for (const prompt of PROMPTS) {
      for (const cap of CAPS) {
        const response = await fetch(`${box.url(server.port)}/v1/chat/completions`, {
          method: "POST",
          headers: { authorization: `Bearer ${box.llamaApiKey}`, "content-type": "application/json" },
          body: JSON.stringify({
            temperature: 0,
            messages: [{ role: "user", content: prompt }],
            n_predict: cap,
          }),
        });
        const answer = (await response.json()) as {
          choices: [{ finish_reason: string; message: { content: string } }];
          usage: Usage;
        };
        const [{ finish_reason: finish, message }] = answer.choices;
        found.set(referenceName(server.file, prompt, cap), {
          text: message.content,
          finish,
          usage: answer.usage,
        });
      }
    }
    await switchOn(box, server.port, PACE);
  }
  return found;
}

export interface Verdicts {
  /** How calls ended, by cause. */
  readonly counts: Record<string, number>;
  /** What may never happen, in words. */
  readonly wrongs: string[];
}

const add = (counts: Record<string, number>, name: string): void => {
  counts[name] = (counts[name] ?? 0) + 1;
};

/** Judges one call that its client stayed for. */
function judge(told: Told, prompt: string, cap: number, references: References, verdicts: Verdicts): void {
  const { counts, wrongs } = verdicts;
  const wrong = (why: string): void => {
    add(counts, "WRONG");
    wrongs.push(`${why}: ${told.status} ${told.ended} …${told.text.slice(-300)}`);
  };
  if (told.status !== 200) {
    const code = codeOf(told);
    if (told.ended === "whole" && code !== null && PERMITTED.has(code)) add(counts, `refused ${code}`);
    else wrong("an error outside the table");
    return;
  }
  const stream = readStream(told.text);
  const [file = ""] = stream.models;
  const whole = references.get(referenceName(file, prompt, cap));
  if (stream.dones === 0 && stream.errors.length === 0) return wrong("truncated without a word");
  if (stream.ids.length > 1 || stream.models.length > 1) return wrong("two answers in one");
  if (stream.roles > 1) return wrong("a second role");
  if (stream.text !== "" && whole?.text.startsWith(stream.text) !== true) return wrong("other text");
  if (stream.errors.length > 0) {
    const [code = ""] = stream.errors;
    const last = told.text.trimEnd().split("\n\n").at(-1) ?? "";
    if (stream.errors.length > 1 || stream.dones > 0 || !last.startsWith('data: {"error"'))
      return wrong("not one error at its end");
    if (!PERMITTED.has(code)) return wrong("an error outside the table");
    return add(counts, `error event ${code}`);
  }
  if (whole === undefined || stream.text !== whole.text) return wrong("lost characters");
  if (stream.roles !== 1 || stream.dones !== 1) return wrong("no role, or no one end");
  if (stream.finishes.length !== 1 || stream.finishes[0] !== whole.finish) return wrong("another finish");
  const { usage } = stream;
  if (usage !== null && usage.completion_tokens !== whole.usage.completion_tokens)
    return wrong(`counts ${usage.completion_tokens} for ${whole.usage.completion_tokens}`);
  if (usage !== null && usage.prompt_tokens !== whole.usage.prompt_tokens)
    return wrong(`prompt counts ${usage.prompt_tokens} for ${whole.usage.prompt_tokens}`);
  add(counts, usage === null ? "complete, counts lost" : "complete");
}

/** The ports a call for this one may go to, as the edge would say it with the shipped fleet. */
function route(port: number): { readonly ports: number[]; readonly fallbackPorts: number[] } {
  const ports = port === 8080 ? [8080, 8082] : port === 8082 ? [8082, 8080] : [port];
  const fallbackPorts = fleet.modelRouter.filter((other) => !ports.includes(other));
  return { ports, fallbackPorts };
}

/** One client: streams one chat after another until told to stop; some of them it leaves in the middle. */
async function client(
  box: HarmedBox,
  number: number,
  storm: {
    readonly random: SeededRandom;
    readonly references: References;
    readonly verdicts: Verdicts;
    readonly over: () => boolean;
  },
): Promise<void> {
  const { random, references, verdicts } = storm;
  const port = box.ports[number % box.ports.length] ?? 0;
  while (!storm.over()) {
    const prompt = random.pick(PROMPTS);
    const cap = random.pick(CAPS);
    const leaving = random.chance(0.04) ? new AbortController() : null;
    let pieces = 0;
    const told = await callAgent(
      box,
      callFor(port, { ...route(port), keyId: `key-${number % 16}`, set: { n_predict: cap } }),
      {
        body: { messages: [{ role: "user", content: prompt }], stream_options: { include_usage: true } },
        ...(leaving === null ? {} : { signal: leaving.signal }),
        onPiece: () => {
          pieces += 1;
          if (pieces === 10) leaving?.abort();
        },
      },
    );
    if (told.ended === "left") add(verdicts.counts, "left by its client");
    else judge(told, prompt, cap, references, verdicts);
  }
}

async function harm(box: HarmedBox, port: number, how: (typeof HARMS)[number]): Promise<void> {
  switch (how) {
    case "cut":
      return switchOn(box, port, { cutAfterTokens: 7, faultTimes: 1 });
    case "busy-after-abort":
      return switchOn(box, port, { busyAfterAbortMs: 700 });
    default:
      return box.signal(port, how);
  }
}

/**
 * 64 clients and the storm, to the last call's end.
 * @param stallMs how long a server stands still, longer than its agent needs to notice
 */
export async function storm(
  box: HarmedBox,
  {
    seed,
    lastMs,
    stallMs,
    references,
  }: {
    readonly seed: number;
    readonly lastMs: number;
    readonly stallMs: number;
    readonly references: References;
  },
): Promise<Verdicts> {
  const random = new SeededRandom(seed);
  const verdicts: Verdicts = { counts: {}, wrongs: [] };
  let over = false;
  const clients = Array.from({ length: 64 }, (_, number) =>
    client(box, number, {
      random: new SeededRandom(seed + number + 1),
      references,
      verdicts,
      over: () => over,
    }),
  );
  const [stalledPort = 0, ...others] = random.shuffled(box.ports);
  const began = performance.now();
  const at = (ms: number): Promise<void> =>
    new Promise((resolve) => setTimeout(resolve, Math.max(0, began + ms - performance.now())));
  const stalling = (async () => {
    await at(1_000);
    await switchOn(box, stalledPort, { stall: true });
    add(verdicts.counts, "harm: stall");
    await at(1_000 + stallMs);
    await switchOn(box, stalledPort, { stall: false });
  })();
  const harms = random.shuffled(HARMS);
  const pause = (lastMs - 1_500) / harms.length;
  for (const [turn, how] of harms.entries()) {
    await at(1_500 + turn * pause);
    // One that is still coming up from the last harm isn't harmed again: its control port may be shut.
    const port = others[turn % others.length] ?? 0;
    try {
      await harm(box, port, how);
      add(verdicts.counts, `harm: ${how}`);
    } catch {
      add(verdicts.counts, "harm: none, the server was down");
    }
  }
  await at(lastMs);
  over = true;
  await stalling;
  await Promise.all(clients);
  return verdicts;
}

/** Nothing of the storm is left: no slot at work, no socket, no call that waits, no lease. */
export async function expectCalm(box: HarmedBox): Promise<void> {
  for (const port of box.ports) {
    await until(
      () =>
        stateOf(box, port).then(
          ({ generating, deferred, openSockets }) => generating + deferred + openSockets === 0,
          () => false,
        ),
      `${port} is idle and without sockets`,
    );
  }
  await until(
    async () =>
      (await figure(box, "isha_slots", 'use="leased"')) === 0 &&
      (await figure(box, "isha_slots", 'use="awaiting"')) === 0 &&
      (await figure(box, "isha_slots", 'use="foreign"')) === 0 &&
      (await figure(box, "isha_queued")) === 0,
    "the agent holds no slot and no call",
  );
}

/** Share of the calls that were whole, of those their clients stayed for. */
export function completeShare({ counts }: Verdicts): number {
  const of = (...starts: string[]): number =>
    Object.entries(counts)
      .filter(([name]) => starts.some((start) => name.startsWith(start)))
      .reduce((sum, [, count]) => sum + count, 0);
  return of("complete") / of("complete", "refused", "error event", "WRONG");
}

export async function stateOf(box: Pick<HarmedBox, "controlUrl">, port: number): Promise<State> {
  return (await (await fetch(`${box.controlUrl(port)}/state`)).json()) as State;
}

export async function switchOn(
  box: Pick<HarmedBox, "controlUrl">,
  port: number,
  switches: Partial<Switches>,
): Promise<void> {
  const response = await fetch(`${box.controlUrl(port)}/switches`, {
    method: "POST",
    body: JSON.stringify(switches),
  });
  if (!response.ok) throw new Error(await response.text());
}
