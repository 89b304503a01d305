import { describe, expect, it } from "vitest";
import { eventData, EventSplitter } from "../../../origin-agent/answers/sse.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { recordedStream } from "../support/transcripts.ts";

const CHARACTERS = Array.from('aé漢😀"\\:{} ');
const NO_BOUND = 1_000_000;

/** The output of each push, and what remains buffered. */
function pushAll(chunks: readonly Buffer[], maxBytes = NO_BOUND): { out: Buffer[]; partial: boolean } {
  const events = new EventSplitter(maxBytes);
  const out = chunks.map((chunk) => events.push(chunk)).filter((whole) => whole !== "too-long");
  return { out, partial: events.partial };
}

function randomEvent(random: SeededRandom): string {
  const text = random.text(random.below(40), CHARACTERS);
  return random.pick([`data: ${text}\n\n`, `:${text}\n\n`, ":\n\n", `event: e\ndata: ${text}\n\n`]);
}

/** The bytes split at random into non-empty pieces. */
function cut(random: SeededRandom, bytes: Buffer): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + random.below(random.pick([1, 3, 20, 200]));
    chunks.push(bytes.subarray(at, end));
    at = end;
  }
  return chunks;
}

describe("a stream split anywhere", () => {
  it.each(SEEDS)("comes out as complete events only, with nothing lost, added or moved (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    for (let round = 0; round < 30; round += 1) {
      const events = Array.from({ length: 1 + random.below(20) }, () => randomEvent(random));
      const whole = Buffer.from(events.join(""));
      const tail = random.chance(0.5) ? Buffer.from("data: the half of an") : Buffer.alloc(0);
      const { out, partial } = pushAll(cut(random, Buffer.concat([whole, tail])));
      expect(Buffer.concat(out).equals(whole)).toBe(true);
      expect(partial).toBe(tail.length > 0);
      for (const piece of out)
        expect(piece.length === 0 || piece.subarray(-2).equals(Buffer.from("\n\n"))).toBe(true);
    }
  });

  it("is the same if split at every byte", () => {
    const whole = recordedStream("chat-stream-usage");
    for (let at = 1; at < whole.length; at += 1) {
      const { out, partial } = pushAll([whole.subarray(0, at), whole.subarray(at)]);
      expect(Buffer.concat(out).equals(whole), `cut at ${at}`).toBe(true);
      expect(partial).toBe(false);
    }
  });

  it("returns an event as soon as its last byte arrives, even if the blank line is split", () => {
    const events = new EventSplitter(NO_BOUND);
    expect(events.push(Buffer.from("data: a\n"))).toHaveLength(0);
    expect(events.push(Buffer.from("\ndata: b")).toString()).toBe("data: a\n\n");
    expect(events.push(Buffer.from("\n"))).toHaveLength(0);
    expect(events.push(Buffer.from("\n")).toString()).toBe("data: b\n\n");
    expect(events.partial).toBe(false);
  });

  it("passes a chunk of complete events on without a copy", () => {
    const chunk = Buffer.from("data: a\n\ndata: b\n\n");
    expect(new EventSplitter(NO_BOUND).push(chunk)).toBe(chunk);
  });

  it("ends with a partial event if the server broke off", () => {
    expect(pushAll([Buffer.from("data: a\n\ndata: {")]).partial).toBe(true);
    expect(pushAll([Buffer.from("data: a\n\n")]).partial).toBe(false);
  });
});

describe("an event that never ends", () => {
  it("is too long once it exceeds the limit, however it is split", () => {
    const events = new EventSplitter(10);
    expect(events.push(Buffer.from("data: 1234"))).toHaveLength(0);
    expect(events.push(Buffer.from("5"))).toBe("too-long");
    expect(new EventSplitter(10).push(Buffer.from("data: 12345"))).toBe("too-long");
    expect(new EventSplitter(10).push(Buffer.from("data: a\n\ndata: 12345"))).toBe("too-long");
  });

  it("is measured by itself: short events before it don't count", () => {
    const events = new EventSplitter(10);
    for (let at = 0; at < 100; at += 1)
      expect(events.push(Buffer.from("data: a\n\nda"))).not.toBe("too-long");
  });
});

describe("the data of events", () => {
  it("excludes comments, names and ids", () => {
    const whole = Buffer.from(":\n\ndata: a\n\n: ping\n\nevent: x\nid: 1\ndata: b\n\n");
    expect(eventData(whole)).toEqual(["a", "b"]);
  });

  it("joins several lines of one event, with or without a space after the colon", () => {
    expect(eventData(Buffer.from("data: a\ndata:b\ndata:  c\n\n"))).toEqual(["a\nb\n c"]);
  });

  it.each(SEEDS)("equals the original text (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const texts = Array.from({ length: 30 }, () => random.text(random.below(30), CHARACTERS));
    const whole = Buffer.from(texts.map((text) => `data: ${text}\n\n`).join(""));
    expect(eventData(whole)).toEqual(texts);
  });
});
