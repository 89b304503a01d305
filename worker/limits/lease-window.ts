// What an isolate holds of one window of an object's: tokens, each with its own death, and between which moments
// the window ends. The isolate knows no more of that moment than its answers tell: it lies between what they count
// from the question and what they count from the answer. Pure, its clock passed in.

/** Tokens of one answer. */
export interface Parcel {
  tokens: number;
  readonly diesAt: number;
}

/** Answers of one window whose tokens are kept apart; beyond it they die with the one before. An isolate asks for less. */
const MAX_PARCELS = 16;

export class HeldWindow {
  /** Whether anything is known of it; nothing else counts where not. */
  known = false;
  /** It ends between these two, milliseconds of the isolate's clock. */
  endsAfter = 0;
  endsBefore = 0;
  /** What the object had left when it last spoke; it only gets less. */
  remaining = 0;
  #parcels: Parcel[] = [];

  begin(endsAfter: number, endsBefore: number): void {
    this.known = true;
    this.endsAfter = endsAfter;
    this.endsBefore = endsBefore;
    this.remaining = Infinity;
    this.#parcels = [];
  }

  forget(): void {
    this.known = false;
    this.#parcels = [];
  }

  /** Whether an end between these two can be this window's. */
  couldEndBetween(after: number, before: number): boolean {
    return this.known && after <= this.endsBefore && before >= this.endsAfter;
  }

  /** Another answer's word on the same end: both hold. */
  narrow(endsAfter: number, endsBefore: number): void {
    this.endsAfter = Math.max(this.endsAfter, endsAfter);
    this.endsBefore = Math.min(this.endsBefore, endsBefore);
  }

  add(tokens: number, diesAt: number, remaining: number): void {
    this.remaining = Math.min(this.remaining, remaining);
    if (tokens < 1) return;
    const last = this.#parcels.at(-1);
    if (last !== undefined && (last.diesAt === diesAt || this.#parcels.length >= MAX_PARCELS)) {
      this.#parcels[this.#parcels.length - 1] = {
        tokens: last.tokens + tokens,
        diesAt: Math.min(last.diesAt, diesAt),
      };
    } else {
      this.#parcels.push({ tokens, diesAt });
    }
  }

  /** Tokens that live. */
  held(now: number): number {
    let sum = 0;
    for (const parcel of this.#parcels) if (parcel.diesAt > now) sum += parcel.tokens;
    return sum;
  }

  /** Whether a token lives; what is dead goes. */
  has(now: number): boolean {
    for (;;) {
      const first = this.#parcels[0];
      if (first === undefined) return false;
      if (first.tokens > 0 && first.diesAt > now) return true;
      this.#parcels.shift();
    }
  }

  /** Takes the token that `has` saw: of those there are, one that was told of first. @returns when it would have died */
  take(): number {
    const first = this.#parcels[0];
    if (first === undefined) return 0;
    first.tokens -= 1;
    return first.diesAt;
  }
}
