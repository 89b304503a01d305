// The link on a bad network: cuts, half-open connections, refusals, acknowledgements that are lost, duplicated or out
// of order, an edge that dies between booking and acknowledging. The model ledger must book each call once and in
// order, and in the end everything must be acknowledged.
import { describe, expect, it } from "vitest";
import { LinkStateMachine, type LinkAction, type LinkEnd } from "../../../origin-agent/link/state-machine.ts";
import type { UsageCall } from "../../../shared/usage.ts";
import { LINK_PING_MS, LINK_PONG_MS, SNAPSHOT_MIN_MS } from "../../../shared/limits.ts";
import { MAX_BATCH_CALLS, type EdgeFrame, type UsageFrame } from "../../../shared/wire.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { idleBox, usageCall } from "../support/link-samples.ts";

const STEPS = 4_000;
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

  acknowledge(epoch: string, ackedSeq: number): void {
    const calls = this.#calls.get(epoch) ?? [];
    this.#calls.set(
      epoch,
      calls.filter(({ seq }) => seq > ackedSeq),
    );
  }

  get left(): number {
    return [...this.#calls.values()].reduce((sum, calls) => sum + calls.length, 0);
  }
}

/** The edge's ledger: the last seq of each epoch, and how often each call was booked. */
class ModelLedger {
  readonly #lastSeqs = new Map<string, number>();
  readonly booked = new Map<string, number>();

  apply({ epoch, ackedSeq, calls }: UsageFrame): number {
    const lastSeq = this.#lastSeqs.get(epoch) ?? 0;
    if (ackedSeq > lastSeq) return lastSeq;
    for (const { seq } of calls) {
      if (seq <= (this.#lastSeqs.get(epoch) ?? 0)) continue;
      this.booked.set(`${epoch} ${seq}`, (this.booked.get(`${epoch} ${seq}`) ?? 0) + 1);
      this.#lastSeqs.set(epoch, seq);
    }
    return this.#lastSeqs.get(epoch) ?? 0;
  }
}

type Message = {
  readonly at: number;
  readonly dial: number;
  readonly content: EdgeFrame | "pong" | "open" | LinkEnd;
};

class BadNetwork {
  readonly random: SeededRandom;
  readonly machine: LinkStateMachine;
  readonly journal = new ModelJournal();
  readonly ledger = new ModelLedger();
  now = 0;
  calm = false;
  dials = 0;
  cuts = 0;
  /** Times of snapshots, by connection. */
  readonly snapshots = new Map<number, number[]>();
  #live: number | null = null;
  /** The connection is dead and neither side has noticed. */
  #halfOpen = false;
  #open = false;
  #toAgent: Message[] = [];
  #results: { readonly at: number; readonly run: () => LinkAction[] }[] = [];
  #inFlight: UsageFrame | null = null;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.machine = new LinkStateMachine(() => this.random.next());
    this.perform(this.machine.start(0));
  }

  /** Advances to the next event of either side. */
  step(): void {
    const { random } = this;
    const due = Math.min(
      this.machine.nextAt(),
      this.#toAgent[0]?.at ?? Infinity,
      this.#results[0]?.at ?? Infinity,
      this.now + 500,
    );
    this.now = Math.max(this.now, due);
    if (!this.calm) {
      if (random.chance(0.5)) this.callEnds();
      if (random.chance(0.02)) this.#cut();
      if (random.chance(0.005)) this.#halfOpen = true;
    }
    while ((this.#toAgent[0]?.at ?? Infinity) <= this.now) this.#deliver(this.#toAgent.shift());
    while ((this.#results[0]?.at ?? Infinity) <= this.now) this.perform(this.#results.shift()?.run() ?? []);
    this.perform(this.machine.tick(this.now));
  }

  callEnds(): void {
    this.journal.add(this.random.chance(0.8) ? "own" : this.random.pick(EPOCHS));
    this.machine.callRecorded(this.now);
  }

  perform(actions: readonly LinkAction[]): void {
    for (const action of actions) this.#perform(action);
  }

  #perform(action: LinkAction): void {
    const { random, journal, machine } = this;
    switch (action.kind) {
      case "dial":
        must(this.#live === null, "dialled while a connection was open");
        this.dials += 1;
        this.#live = action.dial;
        [this.#halfOpen, this.#open] = [false, false];
        return this.#answerDial(action.dial);
      case "disconnect":
        must(this.#live === action.dial, "disconnected a connection that isn't the current one");
        this.#gone();
        return;
      case "take-snapshot":
        return this.perform(machine.snapshotTaken({ ...idleBox(), draining: random.chance(0.5) }, this.now));
      case "send-snapshot":
        this.#mustBeOpen();
        this.snapshots.set(this.dials, [...(this.snapshots.get(this.dials) ?? []), this.now]);
        return;
      case "send-ping":
        this.#mustBeOpen();
        if (!this.#halfOpen) this.#reply("pong");
        return;
      case "send-usage":
        return this.#usage(action.frame);
      case "read-journal":
        return this.#resultLater(() => machine.batchRead(journal.next(), 0, this.now));
      case "acknowledge":
        this.#inFlight = null;
        journal.acknowledge(action.epoch, action.seq);
        return this.#resultLater(() => machine.journalAcknowledged(this.now));
      case "send-hello":
      case "send-bye":
        this.#mustBeOpen();
        return;
      case "log":
      case "command":
      case "finished":
      // Acknowledgements out of order look like a restored ledger; that is only logged.
      case "ledger-behind":
        return;
    }
  }

  #usage(frame: UsageFrame): void {
    this.#mustBeOpen();
    const same = this.#inFlight === null || this.#inFlight.calls[0]?.seq === frame.calls[0]?.seq;
    must(same && (this.#inFlight?.epoch ?? frame.epoch) === frame.epoch, "a second batch in flight");
    must(frame.calls.length <= MAX_BATCH_CALLS, "a batch too large");
    this.#inFlight = frame;
    if (this.#halfOpen) return;
    const { random } = this;
    const arrives = this.calm || random.chance(0.9);
    if (!arrives) return;
    const lastSeq = this.ledger.apply(frame);
    // The edge dies after booking, before it can acknowledge.
    if (!this.calm && random.chance(0.1)) return;
    this.#reply({ t: "ack", epoch: frame.epoch, lastSeq });
    if (this.calm) return;
    if (random.chance(0.1)) this.#reply({ t: "ack", epoch: frame.epoch, lastSeq });
    if (random.chance(0.05))
      this.#reply({ t: "ack", epoch: random.pick(EPOCHS), lastSeq: random.below(lastSeq + 1) });
    if (random.chance(0.05)) this.#reply({ t: "ack", epoch: "unknown", lastSeq: 1e12 });
    // Acknowledges calls that it never received.
    if (random.chance(0.02)) this.#reply({ t: "ack", epoch: frame.epoch, lastSeq: lastSeq + 1_000 });
  }

  #answerDial(dial: number): void {
    const at = this.now + this.random.below(300);
    const ends: LinkEnd[] = [
      { kind: "unreachable", cause: "ECONNREFUSED" },
      { kind: "refused", status: 503 },
      { kind: "refused", status: 401 },
    ];
    const content = this.calm || this.random.chance(0.6) ? "open" : this.random.pick(ends);
    // Otherwise the dial is never answered.
    if (this.calm || this.random.chance(0.9)) this.#post({ at, dial, content });
  }

  #reply(content: EdgeFrame | "pong"): void {
    // Each has its own delay, so that they arrive out of order.
    if (this.#live !== null) this.#post({ at: this.now + this.random.below(400), dial: this.#live, content });
  }

  #post(message: Message): void {
    this.#toAgent.push(message);
    this.#toAgent.sort((one, other) => one.at - other.at);
  }

  #resultLater(run: () => LinkAction[]): void {
    this.#results.push({ at: this.now + this.random.below(30), run });
    this.#results.sort((one, other) => one.at - other.at);
  }

  #deliver(message: Message | undefined): void {
    if (message === undefined) return;
    const { content, dial } = message;
    // The machine must ignore events of an earlier connection.
    if (content === "pong") return this.machine.pongReceived(dial);
    if (content === "open") {
      if (dial === this.#live) this.#open = true;
      return this.perform(this.machine.opened(dial, this.now));
    }
    if ("t" in content) {
      if (dial === this.#live && this.#halfOpen) return;
      return this.perform(this.machine.frameReceived(dial, content, this.now));
    }
    if (dial === this.#live) this.#gone();
    this.perform(this.machine.ended(dial, content, this.now));
  }

  #cut(): void {
    const dial = this.#live;
    if (dial === null) return;
    this.#gone();
    this.perform(this.machine.ended(dial, { kind: "unreachable", cause: "ECONNRESET" }, this.now));
  }

  #gone(): void {
    this.cuts += 1;
    this.#live = null;
    this.#inFlight = null;
    this.#open = false;
  }

  #mustBeOpen(): void {
    must(this.#live !== null && this.#open, "sent a frame without a link");
  }
}

describe("a link on a bad network", () => {
  it.each(SEEDS)(
    "books each call once, has one batch in flight, and ends with all acknowledged: seed %i",
    (seed) => {
      const network = new BadNetwork(seed);
      for (let step = 0; step < STEPS; step += 1) network.step();
      network.calm = true;
      const end = network.now + 600_000;
      while (network.journal.left > 0 && network.now < end) network.step();

      expect(network.journal.left).toBe(0);
      expect(network.ledger.booked.size).toBe(network.journal.booked);
      expect(new Set(network.ledger.booked.values())).toEqual(new Set([1]));
      expect(network.journal.booked).toBeGreaterThan(1_000);
      expect(network.cuts).toBeGreaterThan(20);
      expect(network.dials).toBeGreaterThan(20);
      for (const moments of network.snapshots.values()) {
        const pauses = moments.slice(1).map((moment, at) => moment - (moments[at] ?? 0));
        expect(Math.min(Infinity, ...pauses)).toBeGreaterThanOrEqual(SNAPSHOT_MIN_MS);
      }
    },
  );

  it("ends a silent link after one ping and its timeout", () => {
    const machine = new LinkStateMachine(() => 0);
    machine.start(0);
    machine.opened(1, 0);
    const silent: number[] = [];
    for (let now = 0; now < 60_000 && silent.length === 0; now = machine.nextAt()) {
      for (const action of machine.tick(now)) {
        if (action.kind === "disconnect") silent.push(now);
        if (action.kind === "take-snapshot") machine.snapshotTaken(idleBox(), now);
        if (action.kind === "read-journal") machine.batchRead(null, 0, now);
      }
    }
    expect(silent).toEqual([LINK_PING_MS + LINK_PONG_MS]);
  });
});
