// A llama-server as its slots behave, in milliseconds of its own: calls travel, wait, land, go on after their
// client has left, turn up after the socket closed; strangers use slots too. It knows whose words each slot's
// cache holds, and fails if one scope is about to read another's.
import type { SlotReading } from "../../../origin-agent/probes/llama.ts";
import { reading } from "./slot-readings.ts";
import type { SeededRandom } from "../../support/seeded-random.ts";

/** A socket's close and a slot turning busy all the same were seen this far apart. */
const LATE_BUSY_MS = 17;

export interface ModelCall {
  readonly name: string;
  readonly scope: string | null;
  readonly pin: number | null;
  readonly choices: number;
  /** A list of prompts pinned to one slot: they run there one after another. */
  readonly inTurn: boolean;
  readonly cachePrompt: boolean;
  readonly runMs: number;
  stage: "travelling" | "waiting" | "running" | "over";
  landsAt: number;
  closed: boolean;
  endsAt: number;
  /** When the agent learns of a good end. */
  toldAt: number | null;
  left: number;
}

interface ModelSlot {
  call: ModelCall | null;
  task: number | null;
  words: string | null;
}

export class SlotServerModel {
  readonly slots: ModelSlot[];
  readonly #random: SeededRandom;
  #calls: ModelCall[] = [];
  #nextTask = 0;

  constructor(count: number, random: SeededRandom) {
    this.slots = Array.from({ length: count }, () => ({ call: null, task: null, words: null }));
    this.#random = random;
  }

  get calls(): readonly ModelCall[] {
    return this.#calls;
  }

  send(
    call: Pick<ModelCall, "name" | "scope" | "pin" | "choices" | "inTurn" | "cachePrompt">,
    now: number,
  ): ModelCall {
    const random = this.#random;
    const sent: ModelCall = {
      ...call,
      runMs: random.chance(0.3) ? random.below(15) : 20 + random.below(150),
      stage: "travelling",
      landsAt: now + random.below(random.chance(0.1) ? 60 : 4),
      closed: false,
      endsAt: Infinity,
      toldAt: null,
      left: call.inTurn ? call.choices : 1,
    };
    this.#calls.push(sent);
    return sent;
  }

  /** The client's socket closes. What runs goes on for a while; what was on its way may still land. */
  close(call: ModelCall, now: number): void {
    const random = this.#random;
    call.closed = true;
    if (call.stage === "waiting" || (call.stage === "travelling" && random.chance(0.4))) call.stage = "over";
    if (call.stage === "travelling") call.landsAt = now + random.below(LATE_BUSY_MS);
    if (call.stage === "running") call.endsAt = now + this.#goesOn();
  }

  /** One millisecond. @returns what went wrong. */
  tick(now: number): string[] {
    const wrong: string[] = [];
    for (const call of this.#calls) {
      if (call.stage === "running" && call.endsAt <= now) this.#end(call, now);
    }
    for (const call of this.#calls) {
      if (call.stage === "travelling" && call.landsAt <= now) call.stage = "waiting";
      if (call.stage === "waiting") wrong.push(...this.#launch(call, now));
      if (call.stage === "waiting" && call.closed) call.stage = "over";
    }
    this.#calls = this.#calls.filter(({ stage, toldAt }) => stage !== "over" || toldAt !== null);
    return wrong;
  }

  /** The successful ends that the agent has received by now; each is reported once. */
  told(now: number): ModelCall[] {
    const told = this.#calls.filter(({ toldAt }) => toldAt !== null && toldAt <= now);
    this.#calls = this.#calls.filter((call) => !told.includes(call));
    return told;
  }

  readings(): SlotReading[] {
    return this.slots.map(({ call, task }, id) => reading(id, { busy: call !== null, task }));
  }

  /** Whether a call is on this slot, or may yet be. */
  mayBeOn(call: ModelCall, slot: number): boolean {
    if (call.stage === "over") return false;
    if (call.pin === slot) return true;
    if (call.stage === "running") return this.slots[slot]?.call === call;
    return call.pin === null || (call.choices > 1 && !call.inTurn);
  }

  die(): void {
    for (const call of this.#calls) call.stage = "over";
    this.#calls = [];
    this.#nextTask = 0;
    for (const slot of this.slots) Object.assign(slot, { call: null, task: null, words: null });
  }

  #goesOn(): number {
    const random = this.#random;
    if (random.chance(0.01)) return 6_000;
    return random.below(random.chance(0.1) ? 1_000 : 60);
  }

  #launch(call: ModelCall, now: number): string[] {
    const idle = this.slots.filter((slot) => slot.call === null);
    const pinned = call.pin === null ? undefined : this.slots[call.pin];
    const needed = call.inTurn ? 1 : call.choices;
    if (idle.length < needed || (pinned !== undefined && pinned.call !== null)) return [];
    const others = this.#random.shuffled(idle.filter((slot) => slot !== pinned));
    const chosen = (pinned === undefined ? others : [pinned, ...others]).slice(0, needed);
    const wrong = chosen
      .filter(({ words }) => call.cachePrompt && words !== call.scope)
      .map(({ words }) => `${call.name} reads the words of ${words} as ${call.scope}`);
    for (const slot of chosen) Object.assign(slot, { call, task: this.#nextTask++, words: call.scope });
    // Looking at the slots uses up task numbers too.
    this.#nextTask += this.#random.below(3);
    call.stage = "running";
    call.endsAt = now + (call.closed ? this.#goesOn() : call.runMs);
    return wrong;
  }

  #end(call: ModelCall, now: number): void {
    call.left -= 1;
    for (const slot of this.slots) if (slot.call === call) slot.call = null;
    if (call.left > 0 && (!call.closed || this.#random.chance(0.3))) {
      call.stage = "travelling";
      call.landsAt = now + (call.closed ? this.#random.below(LATE_BUSY_MS) : 0);
      return;
    }
    call.stage = "over";
    if (!call.closed) call.toldAt = now + this.#random.below(this.#random.chance(0.05) ? 100 : 3);
  }
}
