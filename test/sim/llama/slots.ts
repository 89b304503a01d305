// The slots, the silent queue in front of them, pinning, and the counts that `/metrics` shows.
// One group is what one request put in; its members start together or wait together.
import { contextExceeded } from "./errors.ts";
import { Generation } from "./generation.ts";
import type { Work } from "./generation.ts";
import type { SwitchBoard } from "./switches.ts";
import { commonPrefix } from "./tokens.ts";

/** A prompt shares at least this part with a slot's text for that slot to be preferred (`-sps`). */
const SIMILAR = 0.1;

export class Slot {
  readonly id: number;
  /** What the slot's cache holds; kept after a task has ended. */
  tokens: string[] = [];
  busy: Generation | null = null;
  last: Generation | null = null;
  lastUsed = -1;

  constructor(id: number) {
    this.id = id;
  }
}

export interface Totals {
  promptTokens: number;
  cachedTokens: number;
  promptMs: number;
  generatedTokens: number;
  predictedMs: number;
  decodes: number;
  busySlots: number;
  mostTokens: number;
}

/** What one request asked to be generated. */
export class TaskGroup {
  readonly generations: Generation[];
  readonly pinned: number | null;
  state: "arriving" | "deferred" | "running" | "gone" = "arriving";
  left = false;
  timer: NodeJS.Timeout | undefined;

  constructor(works: readonly Work[], pinned: number | null) {
    this.generations = works.map((work) => new Generation(work));
    this.pinned = pinned;
  }
}

export class SlotPool {
  readonly slots: Slot[];
  readonly context: number;
  readonly totals: Totals = {
    promptTokens: 0,
    cachedTokens: 0,
    promptMs: 0,
    generatedTokens: 0,
    predictedMs: 0,
    decodes: 0,
    busySlots: 0,
    mostTokens: 0,
  };
  /** Nothing decodes any more: the process received SIGTERM. */
  frozen = false;
  /** Slots at work. */
  processing = 0;
  readonly board: SwitchBoard;
  #deferred: TaskGroup[] = [];
  /** Would be on a slot but for `holdPickUp`. */
  readonly #held = new Set<TaskGroup>();
  #nextTask = 0;
  #clock = 0;

  constructor(count: number, context: number, board: SwitchBoard) {
    this.slots = Array.from({ length: count }, (_, id) => new Slot(id));
    this.context = context;
    this.board = board;
    board.onChange(() => this.wake());
    board.onChange(() => this.#takeHeld());
  }

  get deferred(): number {
    return this.#deferred.reduce((sum, group) => sum + group.generations.length, 0);
  }

  /** Task numbers are also used up by looking at the slots, as in the real program. */
  nextTask(): number {
    return this.#nextTask++;
  }

  submit(group: TaskGroup): void {
    const { pickUpMs } = this.board.current;
    if (pickUpMs === 0) this.#take(group);
    else group.timer = setTimeout(() => this.#take(group), Math.random() * pickUpMs);
  }

  /**
   * The client has gone. A group still on its way turns its slot busy a little later all the same (README,
   * "A slot can turn busy after the socket closed"); a running one goes on for as long as the switches say.
   */
  leave(group: TaskGroup): void {
    if (group.left || group.state === "gone") return;
    group.left = true;
    const { lateBusyMs } = this.board.current;
    if (group.state === "arriving") {
      clearTimeout(group.timer);
      group.timer = setTimeout(() => this.#take(group), Math.random() * lateBusyMs);
    } else if (group.state === "deferred") {
      this.#drop(group);
    } else {
      this.#endLater(group);
    }
  }

  /** Lets everything that stood still look at the switches again. */
  wake(): void {
    for (const slot of this.slots) slot.busy?.wake();
  }

  /** A slot is free again: remember its text, look who waits. */
  release(slot: Slot, kept: string[]): void {
    slot.tokens = kept;
    slot.busy = null;
    this.processing -= 1;
    slot.lastUsed = this.#clock++;
    for (const group of this.#deferred) {
      if (this.#launch(group)) this.#deferred = this.#deferred.filter((other) => other !== group);
    }
  }

  #take(group: TaskGroup): void {
    // A group that was held may have been taken before its timer came.
    if (group.state !== "arriving") return;
    if (this.board.current.holdPickUp) {
      this.#held.add(group);
      return;
    }
    if (this.#launch(group)) return;
    group.state = "deferred";
    if (group.left) this.#drop(group);
    else this.#deferred.push(group);
  }

  #takeHeld(): void {
    if (this.board.current.holdPickUp) return;
    const groups = [...this.#held];
    this.#held.clear();
    for (const group of groups) this.#take(group);
  }

  #drop(group: TaskGroup): void {
    this.#deferred = this.#deferred.filter((other) => other !== group);
    group.state = "gone";
    for (const generation of group.generations) generation.abandon();
  }

  #launch(group: TaskGroup): boolean {
    const tooLong = group.generations.find(({ work }) => work.prompt.length >= this.context);
    if (tooLong) {
      this.nextTask();
      group.state = "gone";
      tooLong.work.onError(contextExceeded(tooLong.work.prompt.length, this.context));
      return true;
    }
    const chosen = this.#choose(group);
    if (chosen === null) return false;
    group.state = "running";
    for (const [at, generation] of group.generations.entries()) {
      const slot = chosen[at];
      if (!slot) continue;
      this.processing += 1;
      generation.start(this, slot, this.nextTask());
    }
    if (group.left) this.#endLater(group);
    return true;
  }

  #choose(group: TaskGroup): Slot[] | null {
    const free = this.slots.filter((slot) => slot.busy === null);
    const wanted = group.pinned === null ? null : this.slots[group.pinned % this.slots.length];
    const first = wanted ?? this.#similar(free, group) ?? oldest(free);
    if (!first || first.busy !== null || free.length < group.generations.length) return null;
    return [first, ...free.filter((slot) => slot !== first)];
  }

  #similar(free: readonly Slot[], group: TaskGroup): Slot | undefined {
    const prompt = group.generations[0]?.work.prompt ?? [];
    let best: Slot | undefined;
    let most = SIMILAR * prompt.length;
    for (const slot of free) {
      const common = commonPrefix(slot.tokens, prompt);
      if (common > most) [best, most] = [slot, common];
    }
    return best;
  }

  #endLater(group: TaskGroup): void {
    const { busyAfterAbortMs, abortFreeMs } = this.board.current;
    const wait = busyAfterAbortMs ?? Math.random() * abortFreeMs;
    setTimeout(() => {
      group.state = "gone";
      for (const generation of group.generations) generation.abandon();
    }, wait);
  }
}

/** The slot unused for longest; of several never used the last, as in the real program. */
function oldest(free: readonly Slot[]): Slot | undefined {
  let found: Slot | undefined;
  for (const slot of free) if (!found || slot.lastUsed <= found.lastUsed) found = slot;
  return found;
}
