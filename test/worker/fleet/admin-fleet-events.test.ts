// GET /admin/fleet/events: the fleet told on and on, with the real fleet object and real links behind it.
import { describe, expect, it } from "vitest";
import { FleetView } from "../../../shared/fleet-view.ts";
import { linked, snapshot } from "../support/agents.ts";
import { CHAT, chat, newLegacyKey, stopClock, type Asking } from "../support/edge.ts";
import { stage } from "../support/fleet-stage.ts";
import { KEYS, newKey } from "../support/keys.ts";
import { untilHolds } from "../support/until.ts";

const ADMIN: Asking = { key: "dev-admin" };
const WORDS = "the patient's words";
/** How often the stream looks at its key, and after how long without news it says that it is alive. */
const CHECK_MS = 1_000;
const QUIET_MS = 5_000;

/** A stream's events, one after another; null at its end. */
function eventsOf(answer: Response): {
  next(): Promise<{ event: string; data: string } | null>;
  leave(): Promise<void>;
} {
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  return {
    async next() {
      while (!held.includes("\n\n")) {
        const read = await reader?.read();
        if (read === undefined || read.done) return null;
        held += read.value;
      }
      const [first = ""] = held.split("\n\n", 1);
      held = held.slice(first.length + 2);
      const [, event = "", data = ""] = /^event: (\w+)\ndata: (.*)$/s.exec(first) ?? [];
      return { event, data };
    },
    async leave() {
      await reader?.cancel();
    },
  };
}

describe("GET /admin/fleet/events", () => {
  it("tells the fleet at once, and again when something changed, with nothing that a caller wrote", async () => {
    const start = Date.now();
    const clock = stopClock(start);
    // Of a key that fails by the dozen only counts are kept.
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
    const told = [first?.data ?? ""];
    const refused = new Set<string | null>();
    let isUp = false;
    let isListed = false;
    for (let events = 1; !isUp || !isListed; events += 1) {
      // Once more: the isolate's flush that takes one along may be another edge's.
      refused.add((await edge(CHAT, { body: chat({ max_tokens: WORDS }), key })).headers.get("x-request-id"));
      // At the latest now it says something.
      clock.to(start + events * QUIET_MS);
      const { event = "", data = "" } = (await stream.next()) ?? {};
      expect(["fleet", "alive"]).toContain(event);
      told.push(data);
      if (event !== "fleet") continue;
      const view = FleetView.parse(JSON.parse(data));
      isUp ||= view.boxes[0]?.state === "up";
      isListed ||= view.failures.some(({ requestId }) => refused.has(requestId));
    }
    expect(told.join("")).not.toContain("patient");
    await stream.leave();
  });

  it("says that it is alive where nothing changes", async () => {
    const start = Date.now();
    const clock = stopClock(start);
    let looks = 0;
    const { edge } = stage({}, (real) => ({
      async state(expected: readonly string[]) {
        const words = await real.state(expected);
        looks += 1;
        return words;
      },
    }));
    const stream = eventsOf(await edge("/admin/fleet/events", ADMIN));
    expect((await stream.next())?.event).toBe("fleet");
    let said: string | null = null;
    const next = stream.next().then((told) => (said = told?.event ?? "the end"));
    const looksPass = async (): Promise<void> => {
      const before = looks;
      await untilHolds(() => expect(looks).toBeGreaterThanOrEqual(before + 2));
    };
    await looksPass();
    clock.to(start + QUIET_MS - 1);
    await looksPass();
    expect(said).toBeNull();
    clock.to(start + QUIET_MS);
    expect(await next).toBe("alive");
    await stream.leave();
  });

  it("ends at the next word once the console has left: nothing is asked for it any more", async () => {
    const { edge, fleet, north } = stage();
    const stream = eventsOf(await edge("/admin/fleet/events", ADMIN));
    await stream.next();
    await stream.leave();
    await fleet.command(north, { t: "drain" });
    await edge.settled();
  });

  it("ends after five minutes, so that the console's key is looked at anew", async () => {
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

  it.each<[string, (start: number) => Asking]>([
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

  it("goes on where the fleet object can't be asked for a time", async () => {
    let fails = 0;
    const { edge, fleet, north } = stage({}, (real) => ({
      async state(expected: readonly string[]) {
        if (fails === 0) return real.state(expected);
        fails -= 1;
        throw new Error("the object restarts");
      },
    }));
    const stream = eventsOf(await edge("/admin/fleet/events", ADMIN));
    await stream.next();
    fails = 2;
    await fleet.command(north, { t: "drain" });
    const { event = "", data = "{}" } = (await stream.next()) ?? {};
    expect([event, fails]).toEqual(["fleet", 0]);
    expect(FleetView.parse(JSON.parse(data)).events).toMatchObject([{ text: "an operator drains it" }]);
    await stream.leave();
  });

  it("answers HEAD with headers alone, and follows nothing for it", async () => {
    const { edge } = stage();
    const answer = await edge("/admin/fleet/events", { ...ADMIN, method: "HEAD" });
    expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "text/event-stream"]);
    expect(answer.body).toBeNull();
    await edge.settled();
  });
});
