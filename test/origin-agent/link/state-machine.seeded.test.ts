// The link under a bad network: cuts, half-open connections, refusals, acknowledgements that are lost, said twice or
// out of order, an edge that dies between booking and saying so. Whatever happens, the model ledger books each call
// once and in order, and in the end everything is acknowledged.
import { describe, expect, it } from "vitest";
import { LinkCore, type LinkCommand, type LinkEnd } from "../../../origin-agent/link/state-machine.ts";
import type { UsageCall } from "../../../shared/usage.ts";
import { LINK_PING_MS, LINK_PONG_MS, SNAPSHOT_MIN_MS } from "../../../shared/limits.ts";
import { MAX_BATCH_CALLS, type EdgeFrame, type UsageFrame } from "../../../shared/wire.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { quietBox, usageCall } from "../support/link-samples.ts";

const STORM_STEPS = 4_000;
const EPOCHS = ["own", "gone-1", "gone-2"];

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

/** Calls on disk, by epoch, until they are acknowledged. */
class ModelJournal {
  readonly #calls = new Map<string, UsageCall[]>(EPOCHS.map((epoch) => [epoch, []]));
  #seq = 0;
  booked = 0;

  add(epoch: string): void {
    this.#seq += 1 + (this.#seq % 3);
    this.booked += 1;
    this.#calls.get(epoch)?.push(usageCall(this.#seq));
  }

  next(): { epoch: string; calls: UsageCall[] } | null {
    for (const epoch of EPOCHS.toReversed()) {
      const calls = this.#calls.get(epoch) ?? [];
      if (calls.length > 0) return { epoch, calls: calls.slice(0, MAX_BATCH_CALLS) };
    }
    return null;
  }

  acknowledge(epoch: string, upTo: number): void {
    const calls = this.#calls.get(epoch) ?? [];
    this.#calls.set(
      epoch,
      calls.filter(({ seq }) => seq > upTo),
    );
  }

  get left(): number {
    return [...this.#calls.values()].reduce((sum, calls) => sum + calls.length, 0);
  }
}

/** What the edge keeps: a mark an epoch, and how often each call was booked. */
class ModelLedger {
  readonly #marks = new Map<string, number>();
  readonly booked = new Map<string, number>();

  apply({ epoch, after, calls }: UsageFrame): number {
    const mark = this.#marks.get(epoch) ?? 0;
    if (after > mark) return mark;
    for (const { seq } of calls) {
      if (seq <= (this.#marks.get(epoch) ?? 0)) continue;
      this.booked.set(`${epoch} ${seq}`, (this.booked.get(`${epoch} ${seq}`) ?? 0) + 1);
      this.#marks.set(epoch, seq);
    }
    return this.#marks.get(epoch) ?? 0;
  }
}

type ToAgent = {
  readonly at: number;
  readonly dial: number;
  readonly what: EdgeFrame | "pong" | "open" | LinkEnd;
};

class Storm {
  readonly random: SeededRandom;
  readonly core: LinkCore;
  readonly journal = new ModelJournal();
  readonly ledger = new ModelLedger();
  now = 0;
  calm = false;
  dials = 0;
  cuts = 0;
  /** When snapshots went, by connection. */
  readonly snapshots = new Map<number, number[]>();
  #live: number | null = null;
  /** The way is broken and nobody was told. */
  #half = false;
  #open = false;
  #toAgent: ToAgent[] = [];
  #answers: { readonly at: number; readonly run: () => LinkCommand[] }[] = [];
  #flight: UsageFrame | null = null;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.core = new LinkCore(() => this.random.next());
    this.perform(this.core.start(0));
  }

  /** The next thing that is due, whoever's it is. */
  step(): void {
    const { random } = this;
    const due = Math.min(
      this.core.nextAt(),
      this.#toAgent[0]?.at ?? Infinity,
      this.#answers[0]?.at ?? Infinity,
      this.now + 500,
    );
    this.now = Math.max(this.now, due);
    if (!this.calm) {
      if (random.chance(0.5)) this.callEnds();
      if (random.chance(0.02)) this.#cut();
      if (random.chance(0.005)) this.#half = true;
    }
    while ((this.#toAgent[0]?.at ?? Infinity) <= this.now) this.#deliver(this.#toAgent.shift());
    while ((this.#answers[0]?.at ?? Infinity) <= this.now) this.perform(this.#answers.shift()?.run() ?? []);
    this.perform(this.core.tick(this.now));
  }

  callEnds(): void {
    this.journal.add(this.random.chance(0.8) ? "own" : this.random.pick(EPOCHS));
    this.core.noted(this.now);
  }

  perform(commands: readonly LinkCommand[]): void {
    for (const command of commands) this.#perform(command);
  }

  #perform(command: LinkCommand): void {
    const { random, journal, core } = this;
    switch (command.kind) {
      case "dial":
        must(this.#live === null, "dialled beside a connection");
        this.dials += 1;
        this.#live = command.dial;
        [this.#half, this.#open] = [false, false];
        return this.#answerDial(command.dial);
      case "drop":
        must(this.#live === command.dial, "dropped a connection that isn't the one");
        this.#gone();
        return;
      case "look":
        return this.perform(core.looked({ ...quietBox(), draining: random.chance(0.5) }, this.now));
      case "snapshot":
        this.#mustBeOpen();
        this.snapshots.set(this.dials, [...(this.snapshots.get(this.dials) ?? []), this.now]);
        return;
      case "ping":
        this.#mustBeOpen();
        if (!this.#half) this.#say("pong");
        return;
      case "usage":
        return this.#usage(command.frame);
      case "read":
        return this.#later(() => core.read(journal.next(), 0, this.now));
      case "acknowledge":
        this.#flight = null;
        journal.acknowledge(command.epoch, command.upTo);
        return this.#later(() => core.acknowledged(this.now));
      case "hello":
      case "bye":
        this.#mustBeOpen();
        return;
      case "tell":
      case "word":
      case "finished":
      // An acknowledgement that was overtaken says less than one before; nothing but a line in the log.
      case "ledger-behind":
        return;
    }
  }

  #usage(frame: UsageFrame): void {
    this.#mustBeOpen();
    const same = this.#flight === null || this.#flight.calls[0]?.seq === frame.calls[0]?.seq;
    must(same && (this.#flight?.epoch ?? frame.epoch) === frame.epoch, "a second batch in flight");
    must(frame.calls.length <= MAX_BATCH_CALLS, "a batch too large");
    this.#flight = frame;
    if (this.#half) return;
    const { random } = this;
    const arrives = this.calm || random.chance(0.9);
    if (!arrives) return;
    const upTo = this.ledger.apply(frame);
    // Booked, and the edge dies before it can say so.
    if (!this.calm && random.chance(0.1)) return;
    this.#say({ t: "ack", epoch: frame.epoch, upTo });
    if (this.calm) return;
    if (random.chance(0.1)) this.#say({ t: "ack", epoch: frame.epoch, upTo });
    if (random.chance(0.05))
      this.#say({ t: "ack", epoch: random.pick(EPOCHS), upTo: random.below(upTo + 1) });
    if (random.chance(0.05)) this.#say({ t: "ack", epoch: "nobody", upTo: 1e12 });
    // What it never got.
    if (random.chance(0.02)) this.#say({ t: "ack", epoch: frame.epoch, upTo: upTo + 1_000 });
  }

  #answerDial(dial: number): void {
    const at = this.now + this.random.below(300);
    const ends: LinkEnd[] = [
      { kind: "unreachable", cause: "ECONNREFUSED" },
      { kind: "refused", status: 503 },
      { kind: "refused", status: 401 },
    ];
    const what = this.calm || this.random.chance(0.6) ? "open" : this.random.pick(ends);
    // Or nothing ever comes.
    if (this.calm || this.random.chance(0.9)) this.#post({ at, dial, what });
  }

  #say(what: EdgeFrame | "pong"): void {
    // Each takes its own time, so that they overtake one another.
    if (this.#live !== null) this.#post({ at: this.now + this.random.below(400), dial: this.#live, what });
  }

  #post(message: ToAgent): void {
    this.#toAgent.push(message);
    this.#toAgent.sort((one, other) => one.at - other.at);
  }

  #later(run: () => LinkCommand[]): void {
    this.#answers.push({ at: this.now + this.random.below(30), run });
    this.#answers.sort((one, other) => one.at - other.at);
  }

  #deliver(message: ToAgent | undefined): void {
    if (message === undefined) return;
    const { what, dial } = message;
    // A core that got something of a connection that is gone must not mind.
    if (what === "pong") return this.core.heard(dial, this.now);
    if (what === "open") {
      if (dial === this.#live) this.#open = true;
      return this.perform(this.core.opened(dial, this.now));
    }
    if ("t" in what) {
      if (dial === this.#live && this.#half) return;
      return this.perform(this.core.frame(dial, what, this.now));
    }
    if (dial === this.#live) this.#gone();
    this.perform(this.core.ended(dial, what, this.now));
  }

  #cut(): void {
    const dial = this.#live;
    if (dial === null) return;
    this.#gone();
    this.perform(this.core.ended(dial, { kind: "unreachable", cause: "ECONNRESET" }, this.now));
  }

  #gone(): void {
    this.cuts += 1;
    this.#live = null;
    this.#flight = null;
    this.#open = false;
  }

  #mustBeOpen(): void {
    must(this.#live !== null && this.#open, "said something without a link");
  }
}

describe("a link in a storm", () => {
  it.each(SEEDS)(
    "books each call once, has one batch in flight, and ends with all acknowledged: seed %i",
    (seed) => {
      const storm = new Storm(seed);
      for (let step = 0; step < STORM_STEPS; step += 1) storm.step();
      storm.calm = true;
      const end = storm.now + 600_000;
      while (storm.journal.left > 0 && storm.now < end) storm.step();

      expect(storm.journal.left).toBe(0);
      expect(storm.ledger.booked.size).toBe(storm.journal.booked);
      expect(new Set(storm.ledger.booked.values())).toEqual(new Set([1]));
      expect(storm.journal.booked).toBeGreaterThan(1_000);
      expect(storm.cuts).toBeGreaterThan(20);
      expect(storm.dials).toBeGreaterThan(20);
      for (const moments of storm.snapshots.values()) {
        const pauses = moments.slice(1).map((moment, at) => moment - (moments[at] ?? 0));
        expect(Math.min(Infinity, ...pauses)).toBeGreaterThanOrEqual(SNAPSHOT_MIN_MS);
      }
    },
  );

  it("gives a link that went silent up within one ping and its answer's time", () => {
    const core = new LinkCore(() => 0);
    core.start(0);
    core.opened(1, 0);
    const silent: number[] = [];
    for (let now = 0; now < 60_000 && silent.length === 0; now = core.nextAt()) {
      for (const command of core.tick(now)) {
        if (command.kind === "drop") silent.push(now);
        if (command.kind === "look") core.looked(quietBox(), now);
        if (command.kind === "read") core.read(null, 0, now);
      }
    }
    expect(silent).toEqual([LINK_PING_MS + LINK_PONG_MS]);
  });
});
