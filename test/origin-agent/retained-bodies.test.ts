import type { IncomingMessage } from "node:http";
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { RetainedBodies, type NotRetained, type RetainedBody } from "../../origin-agent/retained-bodies.ts";
import { SEEDS, SeededRandom } from "../shared/seeded-random.ts";
import { until } from "../support/until.ts";

/** An upload under the test's control; `read` wants nothing of a request but its bytes. */
const upload = (): PassThrough => new PassThrough();

const outcome = (
  bodies: RetainedBodies,
  from: PassThrough,
  most = 100,
  signal?: AbortSignal,
): Promise<RetainedBody | NotRetained> => bodies.read(from as unknown as IncomingMessage, most, signal);

/** The body, or null where it isn't held. */
async function read(bodies: RetainedBodies, from: PassThrough, most = 100): Promise<RetainedBody | null> {
  const body = await outcome(bodies, from, most);
  return typeof body === "string" ? null : body;
}

/** Uploads all of it at once. */
function readAll(bodies: RetainedBodies, text: string, most = 100): Promise<RetainedBody | null> {
  const stream = upload();
  stream.end(text);
  return read(bodies, stream, most);
}

describe("a body", () => {
  it("comes whole, whatever pieces it came in, and is counted until it is let go", async () => {
    const bodies = new RetainedBodies(100);
    const stream = upload();
    const reading = read(bodies, stream);
    for (const piece of ["one ", "two ", "drei 漢"]) stream.write(piece);
    stream.end();
    const body = await reading;
    expect(body?.bytes.toString()).toBe("one two drei 漢");
    expect(bodies.bytes).toBe(16);
    body?.release();
    expect(bodies.bytes).toBe(0);
  });

  it("may be empty", async () => {
    const body = await readAll(new RetainedBodies(100), "");
    expect(body?.bytes).toHaveLength(0);
  });

  it("may be as long as is allowed, and one byte more is refused and not counted", async () => {
    const bodies = new RetainedBodies(100);
    const longest = await readAll(bodies, "a".repeat(10), 10);
    expect(longest?.bytes).toHaveLength(10);
    expect(await readAll(bodies, "a".repeat(11), 10)).toBeNull();
    expect(bodies.bytes).toBe(10);
  });

  it("that breaks off is nobody's, and its memory comes back", async () => {
    const bodies = new RetainedBodies(100);
    const stream = upload();
    const reading = read(bodies, stream);
    stream.write("half of");
    await until(() => bodies.bytes === 7);
    stream.destroy(new Error("ECONNRESET"));
    expect(await reading).toBeNull();
    expect(bodies.bytes).toBe(0);
  });

  it("that isn't held says why", async () => {
    const bodies = new RetainedBodies(10);
    const long = upload();
    long.end("a".repeat(6));
    expect(await outcome(bodies, long, 5)).toBe("too-large");
    const many = upload();
    many.end("a".repeat(11));
    expect(await outcome(bodies, many)).toBe("no-room");
    const slow = upload();
    const giveUp = new AbortController();
    const coming = outcome(bodies, slow, 100, giveUp.signal);
    slow.write("abc");
    await until(() => bodies.bytes === 3);
    giveUp.abort();
    expect(await coming).toBe("broken");
    expect(bodies.bytes).toBe(0);
  });

  it("let go twice is counted once", async () => {
    const bodies = new RetainedBodies(100);
    const [kept, twice] = [await readAll(bodies, "12345"), await readAll(bodies, "123")];
    twice?.release();
    twice?.release();
    expect(bodies.bytes).toBe(5);
    kept?.release();
    expect(bodies.bytes).toBe(0);
  });
});

describe("all bodies together", () => {
  it("take no more than the bound, those that are still coming in counted", async () => {
    const bodies = new RetainedBodies(20);
    const stream = upload();
    const coming = read(bodies, stream);
    stream.write("a".repeat(15));
    await until(() => bodies.bytes === 15);
    expect(await readAll(bodies, "123456")).toBeNull();
    expect(bodies.bytes).toBe(15);
    const small = await readAll(bodies, "12345");
    expect(bodies.bytes).toBe(20);
    stream.end("b");
    expect(await coming).toBeNull();
    expect(bodies.bytes).toBe(5);
    small?.release();
    expect(bodies.bytes).toBe(0);
  });

  it.each(SEEDS)(
    "never exceed the bound and end at nothing, whatever happens to each (seed %i)",
    async (seed) => {
      const random = new SeededRandom(seed);
      const bodies = new RetainedBodies(1000);
      let most = 0;
      const one = async (): Promise<void> => {
        const stream = upload();
        const reading = read(bodies, stream, 300);
        const pieces = 1 + random.below(4);
        for (let at = 0; at < pieces; at += 1) {
          stream.write("x".repeat(1 + random.below(120)));
          await Promise.resolve();
          most = Math.max(most, bodies.bytes);
        }
        if (random.chance(0.2)) stream.destroy(new Error("gone"));
        else stream.end();
        const body = await reading;
        most = Math.max(most, bodies.bytes);
        await new Promise((resolve) => setImmediate(resolve));
        body?.release();
      };
      await Promise.all(Array.from({ length: 40 }, () => one()));
      expect(most).toBeLessThanOrEqual(1000);
      expect(most).toBeGreaterThan(500);
      expect(bodies.bytes).toBe(0);
    },
  );
});
