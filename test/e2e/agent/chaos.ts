// A seeded storm over a box: clients that stream chats without pause while its servers are killed, asked to end,
// stalled, cut off, slow to load, and at work for clients that have left.
import fleet from "../../../fleet.config.ts";
import { CALL_DEADLINE_MS, LOAD_WAIT_MS } from "../../../shared/limits.ts";
import { SeededRandom } from "../../shared/seeded-random.ts";
import { callAgent, callFor, figure } from "./agent-call.ts";
import { add, CAPS, PROMPTS, type Verdicts } from "./chaos-verdict.ts";
import { readyPorts, stateOf, switchOn, type HarmedBox } from "./harmed-box.ts";
import { until } from "../../support/until.ts";

/** A real 8B takes ten seconds, a 0.6B one or two: shorter here, so that a busy machine's loads are no longer than those. */
const LOAD_MS = { large: 3_000, small: 500 } as const;
/** Longer than a call waits for a server that loads. */
const SLOW_LOAD_MS = LOAD_WAIT_MS + 1_000;

type Size = keyof typeof LOAD_MS;
const sizeOf = (port: number): Size =>
  (fleet.boxes[0]?.servers.find((server) => server.port === port)?.weightsGib ?? 0) > 4 ? "large" : "small";

/** Begins the storm: it takes longest. */
const FIRST_HARM = { how: "slow load", size: "large" } as const;
/** What the storm does after it, alongside one stall; the seed decides in which order. */
const HARMS = [
  { how: "SIGKILL", size: "large" },
  { how: "SIGTERM", size: "large" },
  { how: "SIGKILL", size: "small" },
  { how: "SIGTERM", size: "small" },
  ...Array.from({ length: 5 }, () => ({ how: "cut mid-event", size: null }) as const),
  ...Array.from({ length: 3 }, () => ({ how: "going on after abort", size: null }) as const),
] as const;
type Harm = typeof FIRST_HARM | (typeof HARMS)[number];
export const HARM_KINDS: readonly string[] = [
  "stall",
  FIRST_HARM.how,
  ...new Set(HARMS.map(({ how }) => how)),
];

/** Two of five are down, loading or stalled at a time, and never both of the router's fallbacks. */
const LEFT_STANDING = 3;
const canStand = (standing: readonly number[]): boolean =>
  standing.length >= LEFT_STANDING && standing.some((port) => fleet.modelRouter.includes(port));

/** The ports a call for this one may go to, as the edge gives them with the shipped fleet. */
function route(port: number): { readonly ports: number[]; readonly fallbackPorts: number[] } {
  const ports = port === 8080 ? [8080, 8082] : port === 8082 ? [8082, 8080] : [port];
  const fallbackPorts = fleet.modelRouter.filter((other) => !ports.includes(other));
  return { ports, fallbackPorts };
}

/** Half of the clients ask for the small model. */
const ASKED_FOR = [8080, 8081, 8082, 8084, 8080, 8085, 8082, 8081, 8080, 8084, 8082, 8085] as const;

export interface StormPlan {
  readonly seed: number;
  /** Calls that end between one harm and the next: a call may meet one harm or two, not all of them. */
  readonly callsAHarm: number;
}

/** Every server of the wide fleet has places for all of them: however slow the machine, no queue is full. */
const CLIENTS = 64;

/** 64 clients and the storm, to the last call's end: clients ask until every harm has been done. */
export function storm(box: HarmedBox, plan: StormPlan, verdicts: Verdicts): Promise<void> {
  return new Storm(box, plan, verdicts).rage();
}

class Storm {
  readonly #box: HarmedBox;
  readonly #plan: StormPlan;
  readonly #verdicts: Verdicts;
  readonly #random: SeededRandom;
  /** Calls that have ended so far. */
  #ended = 0;
  /** Servers that something is being done to. */
  readonly #struck = new Set<number>();
  #over = false;

  constructor(box: HarmedBox, plan: StormPlan, verdicts: Verdicts) {
    this.#box = box;
    this.#plan = plan;
    this.#verdicts = verdicts;
    this.#random = new SeededRandom(plan.seed);
  }

  async rage(): Promise<void> {
    const box = this.#box;
    await Promise.all(box.ports.map((port) => box.loadIn(port, LOAD_MS[sizeOf(port)])));
    const clients = Array.from({ length: CLIENTS }, (_, number) => this.#client(number));
    const harms = [FIRST_HARM, ...this.#random.shuffled(HARMS)];
    const harming = [this.#stall()];
    for (const [turn, harm] of harms.entries()) {
      await this.#untilEnded((turn + 1) * this.#plan.callsAHarm);
      harming.push(this.#strike(harm));
    }
    await Promise.all(harming);
    this.#over = true;
    await Promise.all(clients);
  }

  /** One client: streams one chat after another until the storm is over; some of them it leaves in the middle. */
  async #client(number: number): Promise<void> {
    const random = new SeededRandom(this.#plan.seed + number + 1);
    const port = ASKED_FOR[number % ASKED_FOR.length] ?? 0;
    while (!this.#over) {
      const prompt = random.pick(PROMPTS);
      const cap = random.pick(CAPS);
      const leaving = random.chance(0.06) ? new AbortController() : null;
      let pieces = 0;
      const answer = await callAgent(
        this.#box,
        callFor(port, {
          ...route(port),
          keyId: `key-${number % 16}`,
          deadlineMs: CALL_DEADLINE_MS,
          set: { n_predict: cap },
        }),
        {
          body: { messages: [{ role: "user", content: prompt }], stream_options: { include_usage: true } },
          ...(leaving === null ? {} : { signal: leaving.signal }),
          onPiece: () => {
            pieces += 1;
            if (pieces === 10) leaving?.abort();
          },
        },
      );
      if (answer.ended === "left") add(this.#verdicts.counts, "left by its client");
      else this.#verdicts.judge(answer, prompt, cap);
      this.#ended += 1;
      // As a refused client is asked to; its refusal counts as a call that wasn't complete all the same.
      const again = performance.now() + Number(answer.headers["retry-after-ms"] ?? 0);
      await until(() => performance.now() >= again, "the time that the agent asked for");
    }
  }

  async #strike(harm: Harm): Promise<void> {
    const port = await this.#choose(harm);
    await this.#harm(port, harm.how);
    add(this.#verdicts.counts, `harm: ${harm.how}`);
    this.#struck.delete(port);
  }

  /** Waits for a server in use, of the size, whose loss the box can stand. */
  async #choose({ how, size }: Harm): Promise<number> {
    const isDeadly = how !== "cut mid-event" && how !== "going on after abort";
    const order = this.#random.shuffled(this.#box.ports);
    return until(async () => {
      const ready = (await readyPorts(this.#box)).filter((port) => !this.#struck.has(port));
      const found = order.find(
        (port) =>
          ready.includes(port) &&
          (size === null || sizeOf(port) === size) &&
          (!isDeadly || canStand(ready.filter((other) => other !== port))),
      );
      if (found !== undefined) this.#struck.add(found);
      return found;
    }, `a server for ${how}`);
  }

  async #harm(port: number, how: Harm["how"]): Promise<void> {
    switch (how) {
      case "cut mid-event":
        return switchOn(this.#box, port, { cutAfterTokens: 7, faultTimes: 1 });
      case "going on after abort":
        return switchOn(this.#box, port, { busyAfterAbortMs: 1_500 });
      case "slow load":
        await this.#box.loadIn(port, SLOW_LOAD_MS);
        await this.#endAndReturn(port, "SIGKILL");
        return this.#box.loadIn(port, LOAD_MS[sizeOf(port)]);
      default:
        return this.#endAndReturn(port, how);
    }
  }

  /** Until another process stands in its place, which begins to load. */
  async #endAndReturn(port: number, signal: NodeJS.Signals): Promise<void> {
    const isUp = (): Promise<boolean> =>
      stateOf(this.#box, port).then(
        () => true,
        () => false,
      );
    const pid = await this.#box.signal(port, signal);
    await until(() => !isRunning(pid), `${port} is gone`);
    await until(isUp, `${port} is back`);
  }

  /** A server's streams stand still until its agent has noticed. */
  async #stall(): Promise<void> {
    await this.#untilEnded(1);
    const port = this.#random.pick(this.#box.ports);
    this.#struck.add(port);
    await switchOn(this.#box, port, { stall: true });
    const isStalled = async (): Promise<boolean> =>
      (await figure(this.#box, "isha_server_state", `port="${port}"`, 'state="stalled"')) === 1;
    await until(isStalled, `${port} is stalled`);
    add(this.#verdicts.counts, "harm: stall");
    await switchOn(this.#box, port, { stall: false });
    this.#struck.delete(port);
  }

  async #untilEnded(calls: number): Promise<void> {
    await until(() => this.#ended >= calls, `${calls} calls have ended`);
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
