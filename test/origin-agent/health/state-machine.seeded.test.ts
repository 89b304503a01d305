// Health under seeded random lives of a server: whatever really happens to it, the state says so in time.
import { describe, expect, it } from "vitest";
import type { SlotReading } from "../../../origin-agent/probes/llama.ts";
import { PROMPT_STALL_MS, STALL_MS } from "../../../shared/limits.ts";
import {
  newServerHealth,
  type HealthEvent,
  type HealthRecord,
  type Pm2Evidence,
} from "../../../origin-agent/health/record.ts";
import { usualTime } from "../../../origin-agent/health/duration-baseline.ts";
import { nextProbeAt, ONE_TOKEN_TIMEOUT_MS } from "../../../origin-agent/health/probe-schedule.ts";
import {
  isUsable,
  isWaitable,
  remainingLoadMs,
  step,
  type HealthChange,
} from "../../../origin-agent/health/state-machine.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { wantsOneToken } from "../support/health-timeline.ts";
import type { HealthAnswer } from "../../../origin-agent/probes/llama.ts";

const TICK_MS = 20;
const LIFE_MS = 15 * 60_000;
const ONE_TOKEN_MS = 60;
const WEIGHTS_GIB = 6.1;
const GPU_EVERY_MS = 5_000;

type Truth = "dead" | "loading" | "well" | "hung" | "on-cpu";

/** A server as it really is, with PM2 and nvidia-smi beside it. */
class World {
  truth: Truth = "dead";
  /** When `truth` began. */
  since = 0;
  now = 0;
  readonly #random: SeededRandom;
  #nextAt = 0;
  #pid = 1_000;
  #restarts = 0;
  #startedAt = 0;
  #decoded = 0;
  #task = 0;
  callRuns = false;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  tick(now: number): void {
    this.now = now;
    if (now >= this.#nextAt) this.#turn();
    if (!this.callRuns) return;
    if (this.truth === "well") this.#decoded += TICK_MS / 20;
    if (this.truth === "on-cpu") this.#decoded += TICK_MS / 1_000;
  }

  #turn(): void {
    const random = this.#random;
    const become = (truth: Truth, forMs: number): void => {
      this.truth = truth;
      this.since = this.now;
      this.#nextAt = this.now + forMs;
    };
    const within = (least: number, most: number): number => least + random.below(most - least);
    switch (this.truth) {
      case "dead":
        this.#pid += 1;
        this.#restarts += 1;
        this.#startedAt = this.now;
        return become("loading", within(200, 8_000));
      case "loading":
        return random.chance(0.1)
          ? this.#die()
          : become(random.chance(0.15) ? "on-cpu" : "well", within(500, 120_000));
      case "well":
        return random.chance(0.5) ? this.#die() : become("hung", within(1_000, 120_000));
      case "hung":
        return random.chance(0.5) ? this.#die() : become("well", within(10_000, 60_000));
      case "on-cpu":
        return this.#die();
    }
  }

  #die(): void {
    this.truth = "dead";
    this.since = this.now;
    this.callRuns = false;
    this.#nextAt = this.now + 100 + this.#random.below(3_000);
  }

  startCall(): void {
    this.callRuns = true;
    this.#task += 1;
    this.#decoded = 0;
  }

  endCall(): void {
    this.callRuns = false;
  }

  get hasTokens(): boolean {
    return this.#decoded >= 1;
  }

  get health(): HealthAnswer {
    if (this.truth === "dead") return "refused";
    return this.truth === "loading" ? "loading" : "ok";
  }

  get slots(): SlotReading[] | null {
    if (this.truth === "dead" || this.truth === "loading") return null;
    const decoded = Math.floor(this.#decoded);
    return [{ id: 0, busy: this.callRuns, task: this.#task, decoded, tokens: null, promptProcessed: 20 }];
  }

  get pm2(): Pm2Evidence {
    const dead = this.truth === "dead";
    return {
      status: dead ? "waiting restart" : "online",
      pid: dead ? null : this.#pid,
      restarts: this.#restarts,
      uptimeMs: dead ? null : this.now - this.#startedAt,
    };
  }

  get gpuGib(): number | null {
    if (this.truth === "well" || this.truth === "hung") return 6.8;
    return this.truth === "on-cpu" ? 0.4 : null;
  }
}

/** The agent: probes when they are due, sends calls while it may. */
class Agent {
  record: HealthRecord = newServerHealth(WEIGHTS_GIB, 0);
  readonly changes: HealthChange[] = [];
  readonly #world: World;
  readonly #random: SeededRandom;
  #oneToken: { readonly sentAt: number } | null = null;
  #nextCallAt = 0;
  #callEndsAt = 0;
  #gpuAt = 0;
  #pm2At = 0;

  constructor(world: World, random: SeededRandom) {
    this.#world = world;
    this.#random = random;
  }

  observe(event: HealthEvent): void {
    const { record, changes } = step(this.record, event, this.#world.now);
    this.record = record;
    this.changes.push(...changes);
  }

  tick(): void {
    const world = this.#world;
    const { now } = world;
    const due = nextProbeAt(this.record, now);
    if (now >= this.#pm2At) {
      this.#pm2At = now + 500;
      this.observe({ kind: "pm2", process: world.pm2 });
    }
    if (now >= due.health) this.observe({ kind: "health", answer: world.health });
    if (due.slots !== null && now >= due.slots) this.observe({ kind: "slots", slots: world.slots });
    if (now >= this.#gpuAt) {
      this.#gpuAt = now + GPU_EVERY_MS;
      this.observe({ kind: "gpu", gib: world.gpuGib, readAt: now });
    }
    this.#askOneToken();
    this.#call();
  }

  #askOneToken(): void {
    const world = this.#world;
    if (this.#oneToken === null) {
      if (!wantsOneToken(this.record, world.now)) return;
      this.#oneToken = { sentAt: world.now };
      return this.observe({ kind: "one-token-sent" });
    }
    const ms = world.now - this.#oneToken.sentAt;
    const takes = world.truth === "on-cpu" ? ONE_TOKEN_MS * 15 : ONE_TOKEN_MS;
    const works = world.truth === "well" || world.truth === "on-cpu";
    if (world.truth === "dead") this.#oneTokenEnds({ end: "broken" });
    else if (works && ms >= takes) this.#oneTokenEnds({ end: "answered", ms });
    else if (ms >= ONE_TOKEN_TIMEOUT_MS) this.#oneTokenEnds({ end: "timeout" });
  }

  #oneTokenEnds(outcome: Extract<HealthEvent, { kind: "one-token" }>["outcome"]): void {
    this.#oneToken = null;
    this.observe({ kind: "one-token", outcome });
  }

  #call(): void {
    const world = this.#world;
    const { now } = world;
    const random = this.#random;
    if (world.callRuns && now >= this.#callEndsAt && world.truth !== "hung") {
      world.endCall();
      const decodedTokens = 100;
      const decodeMs = world.truth === "on-cpu" ? 100_000 : 2_000;
      this.observe({
        kind: "call",
        fate: "answered",
        decodedTokens,
        decodeMs,
        promptTokens: 64,
      });
    } else if (!world.callRuns && now >= this.#nextCallAt && isUsable(this.record)) {
      this.#nextCallAt = now + 2_000 + random.below(20_000);
      this.#callEndsAt = now + 2_000 + random.below(6_000);
      if (world.truth === "dead") this.observe({ kind: "call", fate: "refused" });
      else if (world.truth === "loading") this.observe({ kind: "call", fate: "loading" });
      else world.startCall();
    }
  }
}

describe("over a quarter of an hour of a server's life", () => {
  it.each(SEEDS)("the state is true in time, seed %i", (seed) => {
    const random = new SeededRandom(seed);
    const world = new World(random);
    const agent = new Agent(world, random);
    let hungUnderCallSince: number | null = null;
    let stalledInThisHang = false;
    const seen = new Set<string>();
    for (let now = 0; now < LIFE_MS; now += TICK_MS) {
      const before = world.truth;
      world.tick(now);
      if (world.truth !== before) stalledInThisHang = false;
      agent.tick();
      const { record } = agent;
      const forMs = now - world.since;
      // `expect` for each of a million ticks would take a minute.
      const must = (holds: boolean, what: string): void => {
        if (holds) return;
        const { state, cause } = record;
        throw new Error(`${world.truth} for ${forMs} ms at ${now}: ${state} (${cause.tag}), must be ${what}`);
      };
      seen.add(`${world.truth}: ${record.state}`);
      // A call that got no token yet has the time of a prompt.
      const limitMs = world.hasTokens ? STALL_MS : PROMPT_STALL_MS;
      hungUnderCallSince = world.truth === "hung" && world.callRuns ? (hungUnderCallSince ?? now) : null;

      // Dead: out of use within the steady pace, and worth waiting for, since PM2 brings it back.
      if (world.truth === "dead" && forMs > 1_100) {
        must(!isUsable(record), "out of use");
        must(isWaitable(record, now), "worth waiting for");
      }
      // Loading: detected within the fast interval if it had been seen dead, otherwise within the steady one.
      if (world.truth === "loading" && forMs > 1_100) must(record.state === "loading", "loading");
      // Well: in use within a second of its coming up. After a hang a one-token call has to end first.
      const well = world.truth === "well" || world.truth === "on-cpu";
      if (well && forMs > (before === "hung" || record.state === "stalled" ? 8_000 : 1_000)) {
        must(record.state !== "down" && record.state !== "loading", "up");
      }
      if (well && forMs > 8_000) must(isUsable(record), "in use");
      // Hung: seen under a running call after 15 s, on an idle server after the minute and two tries.
      if (world.truth === "hung") {
        if (record.state === "stalled") stalledInThisHang = true;
        if (stalledInThisHang) must(record.state === "stalled", "stalled");
        if (hungUnderCallSince !== null && now - hungUnderCallSince > limitMs + 1_100) {
          must(record.state === "stalled", "stalled");
        }
        if (forMs > 75_000) must(record.state === "stalled", "stalled");
      }
      // On the CPU: seen after two readings.
      if (world.truth === "on-cpu" && forMs > 2 * GPU_EVERY_MS + 2_000) must(record.state === "slow", "slow");
      if (world.truth === "well" && forMs > 2 * GPU_EVERY_MS) must(record.state === "ready", "ready");
    }
    expect([...seen]).toEqual(expect.arrayContaining(["dead: down", "loading: loading", "well: ready"]));
    // It fell no oftener than it was really out: nothing swings.
    const falls = agent.changes.filter((change) => change.kind === "state" && change.to === "down").length;
    const restarts = world.pm2.restarts ?? 0;
    expect(falls).toBeLessThanOrEqual(restarts * 2 + 2);
  });
});

describe("whatever is heard, in whatever order", () => {
  const odd = (random: SeededRandom): number | null =>
    random.pick([null, 0, 1, 7, 40, 1e9, -3, 0.5, Number.NaN, Infinity]);

  function anyEvent(random: SeededRandom, now: number): HealthEvent {
    const decodedTokens = odd(random);
    switch (random.below(12)) {
      case 0:
      case 1:
      case 2:
        return {
          kind: "health",
          answer: random.pick(["ok", "ok", "ok", "loading", "refused", "timeout", "other"]),
        };
      case 3:
        return {
          kind: "call",
          fate: "answered",
          decodedTokens,
          decodeMs: odd(random),
          promptTokens: odd(random),
        };
      case 4:
        return { kind: "call", fate: random.pick(["refused", "loading", "broken", "stalled"]) };
      case 5:
        return { kind: "tokens" };
      case 6:
      case 7: {
        const slots = Array.from({ length: random.below(random.pick([4, 4, 4, 300])) }, (_, id) => ({
          id: random.chance(0.9) ? id : random.below(5),
          busy: random.chance(0.5),
          task: odd(random),
          decoded: odd(random),
          tokens: odd(random),
          promptProcessed: odd(random),
        }));
        return { kind: "slots", slots: random.chance(0.2) ? null : slots };
      }
      case 8:
        return { kind: "gpu", gib: odd(random), readAt: now - random.below(20_000) };
      case 9: {
        const status = random.pick([
          "online",
          "launching",
          "stopping",
          "stopped",
          "errored",
          "waiting restart",
          "unknown",
        ] as const);
        const word = { status, pid: odd(random), restarts: odd(random), uptimeMs: odd(random) };
        return { kind: "pm2", process: random.chance(0.2) ? null : word };
      }
      case 10:
        return random.chance(0.5)
          ? { kind: "one-token-sent" }
          : { kind: "one-token", outcome: { end: "answered", ms: odd(random) ?? 5 } };
      default:
        return random.pick<HealthEvent>([
          { kind: "one-token", outcome: { end: "timeout" } },
          { kind: "one-token", outcome: { end: "refused" } },
          { kind: "one-token", outcome: { end: "error" } },
        ]);
    }
  }

  it.each(SEEDS)(
    "the state follows from the evidence, the record stays small and untouched, seed %i",
    (seed) => {
      const random = new SeededRandom(seed);
      let record = deepFrozen(newServerHealth(WEIGHTS_GIB, 0));
      let now = 0;
      for (let turn = 0; turn < 500; turn += 1) {
        now += random.pick([0, 1, 50, 1_000, 9_000, 40_000]);
        const event = anyEvent(random, now);
        const { record: next, changes } = step(record, event, now);
        expect(step(record, event, now).record).toEqual(next);
        if (next.state === "ready") {
          expect(next).toMatchObject({ sign: "ok", stall: null, memory: { low: false } });
          expect(next.failures).toBeLessThan(3);
          expect(next.brokenCalls).toBeLessThan(3);
        }
        const stateChanges = changes.filter((change) => change.kind === "state");
        expect(stateChanges).toHaveLength(next.state === record.state ? 0 : 1);
        expect(next.since).toBe(next.state === record.state ? record.since : now);
        for (const figure of [remainingLoadMs(next, now), usualTime(next.loads), next.decode.recent]) {
          if (figure !== null) expect(Number.isFinite(figure) && figure >= 0).toBe(true);
        }
        const due = nextProbeAt(next, now);
        expect(due.health - now).toBeLessThanOrEqual(1_000);
        record = deepFrozen(next);
      }
      expect(JSON.stringify(record).length).toBeLessThan(20_000);
    },
  );
});

function deepFrozen<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFrozen);
  }
  return value;
}
