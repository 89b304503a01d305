// A seeded storm over a box: clients that stream chats without pause while its servers are killed, told to go,
// stalled, cut off, slow to load, and at work for clients who have left.
import fleet from "../../../fleet.config.ts";
import { CALL_DEADLINE_MS, LOAD_WAIT_MS } from "../../../shared/limits.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { callAgent, callFor } from "./agent-call.ts";
import { add, CAPS, PROMPTS, type Verdicts } from "./chaos-verdict.ts";
import { readyPorts, stateOf, switchOn, type HarmedBox } from "./harmed-box.ts";
import { until } from "../../support/until.ts";

/** As on the real box: an 8B takes ten seconds to load, a 0.6B one or two. */
const LOAD_MS = { large: 10_000, small: 1_500 } as const;
/** One at a time loads, so that a load which takes this long makes another of ten longer than anyone waits (20 s). */
const SLOW_LOAD_MS = LOAD_WAIT_MS - 6_000;

type Size = keyof typeof LOAD_MS;
const sizeOf = (port: number): Size =>
  (fleet.boxes[0]?.servers.find((server) => server.port === port)?.weightsGib ?? 0) > 4 ? "large" : "small";

/** What the storm does beside one stall; when, and in which order, the seed decides. */
const HARMS = [
  { how: "slow load", size: "large" },
  { how: "SIGKILL", size: "large" },
  { how: "SIGTERM", size: "large" },
  { how: "SIGKILL", size: "small" },
  { how: "SIGTERM", size: "small" },
  ...Array.from({ length: 5 }, () => ({ how: "cut mid-event", size: null }) as const),
  ...Array.from({ length: 3 }, () => ({ how: "going on after abort", size: null }) as const),
] as const;
type Harm = (typeof HARMS)[number];
export const HARM_KINDS: readonly string[] = ["stall", ...new Set(HARMS.map(({ how }) => how))];

/**
 * Two of five are down, loading or stalled at a time, and never both of the router's fallbacks: beyond that there
 * aren't the places for 64 calls to wait in, and refusals, each honest, are all there can be.
 */
const LEFT_STANDING = 3;
const canStand = (standing: readonly number[]): boolean =>
  standing.length >= LEFT_STANDING && standing.some((port) => fleet.modelRouter.includes(port));

/** The ports a call for this one may go to, as the edge would say it with the shipped fleet. */
function route(port: number): { readonly ports: number[]; readonly fallbackPorts: number[] } {
  const ports = port === 8080 ? [8080, 8082] : port === 8082 ? [8082, 8080] : [port];
  const fallbackPorts = fleet.modelRouter.filter((other) => !ports.includes(other));
  return { ports, fallbackPorts };
}

/** Half of the clients ask for the small model: a server that takes the calls of all large ones has 34 places. */
const ASKED_FOR = [8080, 8081, 8082, 8084, 8080, 8085, 8082, 8081, 8080, 8084, 8082, 8085] as const;

export interface StormPlan {
  readonly seed: number;
  /** How long clients go on asking at most, milliseconds: until every harm has been done. */
  readonly lastMs: number;
  /** How long a server stands still, longer than its agent needs to notice. */
  readonly stallMs: number;
}

const CLIENTS = 64;
/** Time enough for a call to meet one harm, and not for all to be over before the next. */
const HARM_EVERY_MS = 1_600;

/** 64 clients and the storm, to the last call's end. */
export function storm(box: HarmedBox, plan: StormPlan, verdicts: Verdicts): Promise<void> {
  return new Storm(box, plan, verdicts).rage();
}

class Storm {
  readonly #box: HarmedBox;
  readonly #plan: StormPlan;
  readonly #verdicts: Verdicts;
  readonly #random: SeededRandom;
  readonly #began = performance.now();
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
    const harms = this.#random.shuffled(HARMS);
    const striking = harms.map((harm, turn) => this.#strike(harm, (turn + 1) * HARM_EVERY_MS));
    const harming = Promise.all([...striking, this.#stall()]);
    await Promise.race([harming, this.#at(this.#plan.lastMs)]);
    this.#over = true;
    await Promise.all([...clients, harming]);
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
      const told = await callAgent(
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
      if (told.ended === "left") add(this.#verdicts.counts, "left by its client");
      else this.#verdicts.judge(told, prompt, cap);
      // As a client does that is asked to; a refusal counts as a call that wasn't complete all the same.
      await this.#pause(Number(told.headers["retry-after-ms"] ?? 0));
    }
  }

  async #strike(harm: Harm, atMs: number): Promise<void> {
    await this.#at(atMs);
    const port = await this.#choose(harm);
    if (port === null) return add(this.#verdicts.counts, "harm: none was left to take it");
    try {
      await this.#harm(port, harm.how);
      add(this.#verdicts.counts, `harm: ${harm.how}`);
    } finally {
      this.#struck.delete(port);
    }
  }

  /** A server in use, of the size, whose loss the box can stand; waited for while clients go on asking. */
  async #choose({ how, size }: Harm): Promise<number | null> {
    const isDeadly = how !== "cut mid-event" && how !== "going on after abort";
    const order = this.#random.shuffled(this.#box.ports);
    let found: number | undefined;
    await until(async () => {
      const ready = (await readyPorts(this.#box)).filter((port) => !this.#struck.has(port));
      found = order.find(
        (port) =>
          ready.includes(port) &&
          (size === null || sizeOf(port) === size) &&
          (!isDeadly || canStand(ready.filter((other) => other !== port))),
      );
      return found !== undefined || this.#over;
    }, `a server for ${how}`);
    if (found === undefined) return null;
    this.#struck.add(found);
    return found;
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
    await this.#box.signal(port, signal);
    await until(async () => !(await isUp()), `${port} is gone`);
    await until(isUp, `${port} is back`);
  }

  /** Its streams stand still for longer than the agent lets them. */
  async #stall(): Promise<void> {
    await this.#at(1_000);
    const port = this.#random.pick(this.#box.ports);
    this.#struck.add(port);
    await switchOn(this.#box, port, { stall: true });
    add(this.#verdicts.counts, "harm: stall");
    await this.#at(1_000 + this.#plan.stallMs);
    await switchOn(this.#box, port, { stall: false });
    this.#struck.delete(port);
  }

  #at(ms: number): Promise<void> {
    return this.#pause(this.#began + ms - performance.now());
  }

  async #pause(ms: number): Promise<void> {
    if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
  }
}
