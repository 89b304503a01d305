// GET /admin/fleet/events: a stream of the fleet's views, with the real fleet object and real links behind it.
import { describe, expect, it } from "vitest";
import { FleetView } from "../../../shared/fleet-view.ts";
import { linked, snapshot } from "../support/agents.ts";
import { CHAT, chat, newLegacyKey, stopClock, type TestRequest } from "../support/edge.ts";
import { stage } from "../support/fleet-stage.ts";
import { KEYS, newKey } from "../support/keys.ts";
import { untilHolds } from "../support/until.ts";

const ADMIN: TestRequest = { key: "dev-admin" };
const WORDS = "the patient's words";
/** How often the stream checks its key, and the time without a change after which it sends an `alive` event. */
const CHECK_MS = 1_000;
const QUIET_MS = 5_000;

/** A stream's events, one at a time; null at its end. */
function eventsOf(answer: Response): {
  next(): Promise<{ event: string; data: string } | null>;
  leave(): Promise<void>;
} {
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  return {
    async next() {
      while (!buffer.includes("\n\n")) {
        const read = await reader?.read();
        if (read === undefined || read.done) return null;
        buffer += read.value;
      }
      const [first = ""] = buffer.split("\n\n", 1);
      buffer = buffer.slice(first.length + 2);
      const [, event = "", data = ""] = /^event: (\w+)\ndata: (.*)$/s.exec(first) ?? [];
      return { event, data };
    },
    async leave() {
      await reader?.cancel();
    },
  };
}

describe("GET /admin/fleet/events", () => {
  it("sends the fleet at once, and again after a change, with nothing that a caller wrote", async () => {
    const start = Date.now();
    const clock = stopClock(start);
    // A separate key: of a key with dozens of failures only counts are stored.
    const { text: key, line } = await newLegacyKey();
    const { edge, fleet, north } = stage({ legacy: { keys: [line], anonymous: null } });
    const answer = await edge("/admin/fleet/events", ADMIN);
    expect(answer.headers.get("content-type")).toBe("text/event-stream");
    expect(answer.headers.get("cache-control")).toContain("no-store");
    const stream = eventsOf(answer);
    const first = await stream.next();
    expect(first?.event).toBe("fleet");
    expect(FleetView.parse(JSON.parse(first?.data ?? "")).boxes).toMatchObject([
      { name: north, state: "silent" },
    ]);
    const agent = await linked(fleet, north);
    agent.send(snapshot(1));
    const received = [first?.data ?? ""];
    const refused = new Set<string | null>();
    let isUp = false;
    let isListed = false;
    for (let events = 1; !isUp || !isListed; events += 1) {
      // Repeated, because the isolate's flush may be sending to another test's object.
      refused.add((await edge(CHAT, { body: chat({ max_tokens: WORDS }), key })).headers.get("x-request-id"));
      // By now the stream sends an event.
      clock.to(start + events * QUIET_MS);
      const { event = "", data = "" } = (await stream.next()) ?? {};
      expect(["fleet", "alive"]).toContain(event);
      received.push(data);
      if (event !== "fleet") continue;
      const view = FleetView.parse(JSON.parse(data));
      isUp ||= view.boxes[0]?.state === "up";
      isListed ||= view.failures.some(({ requestId }) => refused.has(requestId));
    }
    expect(received.join("")).not.toContain("patient");
    await stream.leave();
  });

  it("sends that it is alive if nothing changes", async () => {
    const start = Date.now();
    const clock = stopClock(start);
    let reads = 0;
    const { edge } = stage({}, (real) => ({
      async state(expected: readonly string[]) {
        const state = await real.state(expected);
        reads += 1;
        return state;
      },
    }));
    const stream = eventsOf(await edge("/admin/fleet/events", ADMIN));
    expect((await stream.next())?.event).toBe("fleet");
    let event: string | null = null;
    const pending = stream.next().then((next) => (event = next?.event ?? "the end"));
    const readsPass = async (): Promise<void> => {
      const before = reads;
      await untilHolds(() => expect(reads).toBeGreaterThanOrEqual(before + 2));
    };
    await readsPass();
    clock.to(start + QUIET_MS - 1);
    await readsPass();
    expect(event).toBeNull();
    clock.to(start + QUIET_MS);
    expect(await pending).toBe("alive");
    await stream.leave();
  });

  it("ends at the next write after the console has left, and reads nothing more", async () => {
    const { edge, fleet, north } = stage();
    const stream = eventsOf(await edge("/admin/fleet/events", ADMIN));
    await stream.next();
    await stream.leave();
    await fleet.command(north, { t: "drain" });
    await edge.settled();
  });

  it("ends after five minutes, so that the console's key is authenticated again", async () => {
    const start = Date.now();
    const clock = stopClock(start);
    const { edge } = stage();
    const stream = eventsOf(await edge("/admin/fleet/events", ADMIN));
    expect((await stream.next())?.event).toBe("fleet");
    clock.to(start + 5 * 60_000);
    let last = await stream.next();
    while (last !== null) last = await stream.next();
    await edge.settled();
  });

  it.each<[string, (start: number) => TestRequest]>([
    ["revocation", () => ({ method: "DELETE" })],
    [
      "expiry",
      (start) => ({ method: "PATCH", body: { expiresAt: new Date(start + CHECK_MS).toISOString() } }),
    ],
    ["loss of its scope", () => ({ method: "PATCH", body: { scopes: ["infer"] } })],
  ])("ends within a second of its key's %s", async (_, change) => {
    const start = Date.now();
    const clock = stopClock(start);
    const { edge } = stage();
    const { id, key } = await newKey(edge, { scopes: ["admin"] });
    const stream = eventsOf(await edge("/admin/fleet/events", { key }));
    await stream.next();
    const changed = await edge(`${KEYS}/${id}`, { ...ADMIN, ...change(start) });
    expect(changed.status).toBe(200);
    clock.to(start + CHECK_MS);
    let last = await stream.next();
    while (last !== null) last = await stream.next();
    await edge.settled();
  });

  it("continues if the fleet object is unreachable for a moment", async () => {
    let fails = 0;
    const { edge, fleet, north } = stage({}, (real) => ({
      async state(expected: readonly string[]) {
        if (fails === 0) return real.state(expected);
        fails -= 1;
        throw new Error("the object is restarting");
      },
    }));
    const stream = eventsOf(await edge("/admin/fleet/events", ADMIN));
    await stream.next();
    fails = 2;
    await fleet.command(north, { t: "drain" });
    const { event = "", data = "{}" } = (await stream.next()) ?? {};
    expect([event, fails]).toEqual(["fleet", 0]);
    expect(FleetView.parse(JSON.parse(data)).events).toMatchObject([
      { text: `${north} was drained by an operator` },
    ]);
    await stream.leave();
  });

  it("answers HEAD with headers only, and streams nothing", async () => {
    const { edge } = stage();
    const answer = await edge("/admin/fleet/events", { ...ADMIN, method: "HEAD" });
    expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "text/event-stream"]);
    expect(answer.body).toBeNull();
    await edge.settled();
  });
});
