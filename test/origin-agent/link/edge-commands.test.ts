// What the edge's word does on a box, without a link: who restarts what, who is held, what is logged.
import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { OperatorRestarts, RESTART_AGAIN_MS } from "../../../origin-agent/servers/operator-restarts.ts";
import { EdgeCommands } from "../../../origin-agent/link/edge-commands.ts";
import { RevokedKeys } from "../../../origin-agent/queue/revoked-keys.ts";
import { testBox, WANTED } from "../support/box.ts";
import { until } from "../../support/until.ts";

function restartsOf(clock: () => number): { readonly restarts: OperatorRestarts; readonly asked: string[] } {
  const asked: string[] = [];
  const pm2 = {
    restart: (name: string) => {
      asked.push(name);
      return Promise.resolve("restarted" as const);
    },
  };
  return { restarts: new OperatorRestarts(testBox(), pm2, clock), asked };
}

const nameOf = (port: number): string => testBox().servers.find((server) => server.port === port)?.pm2 ?? "";

describe("a restart the edge asks for", () => {
  it("is PM2's, of the server that the fleet file names", async () => {
    const { restarts, asked } = restartsOf(() => 0);
    expect(await restarts.restart(WANTED)).toBe("restarted");
    expect(asked).toEqual([nameOf(WANTED)]);
  });

  it("of a port that isn't this box's is none", async () => {
    const { restarts, asked } = restartsOf(() => 0);
    expect(await restarts.restart(22)).toBe("unknown-port");
    expect(asked).toEqual([]);
  });

  it("is none where the last one was a moment ago, and is again after that", async () => {
    let now = 0;
    const { restarts, asked } = restartsOf(() => now);
    await restarts.restart(WANTED);
    now = RESTART_AGAIN_MS - 1;
    expect(await restarts.restart(WANTED)).toBe("too-soon");
    now = RESTART_AGAIN_MS;
    expect(await restarts.restart(WANTED)).toBe("restarted");
    expect(asked).toHaveLength(2);
  });

  it("waits for no second one while the first is under way", async () => {
    let now = 0;
    let finish = (): void => {};
    const pm2 = {
      restart: () => new Promise<"restarted">((resolve) => (finish = () => resolve("restarted"))),
    };
    const restarts = new OperatorRestarts(testBox(), pm2, () => now);
    const first = restarts.restart(WANTED);
    now = 10 * RESTART_AGAIN_MS;
    expect(await restarts.restart(WANTED)).toBe("too-soon");
    finish();
    expect(await first).toBe("restarted");
  });
});

describe("the edge's word", () => {
  it("holds the box and lets it go, tells of a restart's end, and puts a warning in the log", async () => {
    const log: Record<string, unknown>[] = [];
    const lines = { write: (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>) };
    const revoked: string[] = [];
    const words = new EdgeCommands({
      restarts: restartsOf(() => 0).restarts,
      revoke: (keyId) => revoked.push(keyId),
      log: pino({}, lines),
    });
    expect(words.drained).toBe(false);
    words.handle({ t: "drain" });
    words.handle({ t: "drain" });
    expect(words.drained).toBe(true);
    words.handle({ t: "resume" });
    expect(words.drained).toBe(false);
    words.handle({ t: "revoke", keyId: "key-7" });
    words.handle({ t: "warning", message: "another fleet file" });
    words.handle({ t: "restart", port: WANTED });
    await until(() => log.some((line) => line["event"] === "restart-asked"));
    expect(revoked).toEqual(["key-7"]);
    expect(log).toMatchObject([
      { event: "drain", by: "edge" },
      { event: "resume", by: "edge" },
      { event: "revoked", key: "key-7", refused: 1 },
      { event: "edge-warning", message: "another fleet file" },
      { event: "restart-asked", port: WANTED, outcome: "restarted" },
    ]);
  });
});

describe("revoked keys", () => {
  it("are remembered for as long as calls of them may be on their way, a bounded number of them", () => {
    const keys = new RevokedKeys();
    expect(keys.has("a", 0)).toBe(false);
    keys.note("a", 0);
    expect(keys.has("a", 9_999)).toBe(true);
    expect(keys.has("b", 0)).toBe(false);
    expect(keys.has("a", 10_000)).toBe(false);
    for (let at = 0; at < 1_000; at += 1) keys.note(`key-${at}`, 0);
    expect(keys.has("a", 0)).toBe(false);
    expect(keys.has("key-0", 0)).toBe(true);
  });
});
