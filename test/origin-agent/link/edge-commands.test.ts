// The effects of the edge's commands on a box, without a link: restarts, drains, revoked keys and log lines.
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RESTART_READY_MS } from "../../../shared/limits.ts";
import type { RestartedFrame } from "../../../shared/wire.ts";
import type { ServerProcess } from "../../../origin-agent/probes/pm2.ts";
import { OperatorRestarts, RESTART_AGAIN_MS } from "../../../origin-agent/servers/operator-restarts.ts";
import { DrainState } from "../../../origin-agent/link/drain-state.ts";
import { EdgeCommands } from "../../../origin-agent/link/edge-commands.ts";
import { RevokedKeys } from "../../../origin-agent/queue/revoked-keys.ts";
import { WANTED } from "../support/box.ts";
import { until } from "../../support/until.ts";

const upstreams = new Map([
  [WANTED, { process: { name: "llama", port: 41_001 }, origin: "http://127.0.0.1:41001" }],
]);
const isReady = (): Promise<boolean> => Promise.resolve(true);

function restartsOf(clock: () => number): {
  readonly restarts: OperatorRestarts;
  readonly restarted: string[];
} {
  const restarted: string[] = [];
  const pm2 = {
    restart: ({ name, port }: ServerProcess) => {
      restarted.push(`${name} ${port}`);
      return Promise.resolve("restarted" as const);
    },
  };
  return { restarts: new OperatorRestarts({ upstreams, pm2, clock, isReady }), restarted };
}

describe("a restart requested by the edge", () => {
  it("makes PM2 restart the server's process", async () => {
    const { restarts, restarted } = restartsOf(() => 0);
    expect(await restarts.restart(WANTED)).toEqual({ outcome: "ready", tookMs: 0 });
    expect(restarted).toEqual(["llama 41001"]);
  });

  it("of a port that isn't this box's does nothing", async () => {
    const { restarts, restarted } = restartsOf(() => 0);
    expect((await restarts.restart(22)).outcome).toBe("unknown-port");
    expect(restarted).toEqual([]);
  });

  it("is refused shortly after the last one, and accepted later", async () => {
    let now = 0;
    const { restarts, restarted } = restartsOf(() => now);
    await restarts.restart(WANTED);
    now = RESTART_AGAIN_MS - 1;
    expect((await restarts.restart(WANTED)).outcome).toBe("too-soon");
    now = RESTART_AGAIN_MS;
    expect((await restarts.restart(WANTED)).outcome).toBe("ready");
    expect(restarted).toHaveLength(2);
  });

  it("is refused while another one is running", async () => {
    let now = 0;
    let finish = (): void => {};
    const pm2 = {
      restart: () => new Promise<"restarted">((resolve) => (finish = () => resolve("restarted"))),
    };
    const restarts = new OperatorRestarts({ upstreams, pm2, clock: () => now, isReady });
    const first = restarts.restart(WANTED);
    now = 10 * RESTART_AGAIN_MS;
    expect((await restarts.restart(WANTED)).outcome).toBe("too-soon");
    finish();
    expect((await first).outcome).toBe("ready");
  });

  it("ends once the server is ready, with the time since the command", async () => {
    let now = 1_000;
    let looks = 0;
    const restarts = new OperatorRestarts({
      upstreams,
      pm2: { restart: () => Promise.resolve("restarted") },
      clock: () => now,
      isReady: () => {
        now += 3_000;
        looks += 1;
        return Promise.resolve(looks === 3);
      },
    });
    expect(await restarts.restart(WANTED)).toEqual({ outcome: "ready", tookMs: 9_000 });
  });

  it("ends without success if the server isn't ready in time", async () => {
    let now = 0;
    const restarts = new OperatorRestarts({
      upstreams,
      pm2: { restart: () => Promise.resolve("restarted") },
      clock: () => now,
      isReady: () => {
        now += RESTART_READY_MS;
        return Promise.resolve(false);
      },
    });
    expect(await restarts.restart(WANTED)).toEqual({ outcome: "not-ready", tookMs: RESTART_READY_MS });
  });

  it.each(["no-pm2", "unknown-name", "failed"] as const)("reports that PM2 answered %s", async (outcome) => {
    const pm2 = { restart: () => Promise.resolve(outcome) };
    const restarts = new OperatorRestarts({ upstreams, pm2, clock: () => 0, isReady });
    expect((await restarts.restart(WANTED)).outcome).toBe(outcome);
  });

  it("on a box without PM2 is reported as such", async () => {
    const restarts = new OperatorRestarts({ upstreams, pm2: null, clock: () => 0, isReady });
    expect((await restarts.restart(WANTED)).outcome).toBe("no-pm2");
  });

  it("takes a server for ready when its /health is 200, not while it loads or refuses connections", async () => {
    const statuses = [503, 503, 200];
    const seen: number[] = [];
    const server = createServer((_, response) => {
      const status = statuses[seen.length] ?? 200;
      seen.push(status);
      response.writeHead(status).end("{}");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    try {
      const origin = `http://127.0.0.1:${port}`;
      const restarts = new OperatorRestarts({
        upstreams: new Map([[WANTED, { process: { name: "llama", port }, origin }]]),
        pm2: { restart: () => Promise.resolve("restarted") },
        clock: () => performance.now(),
      });
      expect((await restarts.restart(WANTED)).outcome).toBe("ready");
      expect(seen).toEqual(statuses);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

describe("an edge command", () => {
  it("drains and resumes the box, restarts a server, revokes a key or logs a warning, and is logged", async () => {
    const log: Record<string, unknown>[] = [];
    const lines = { write: (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>) };
    const revoked: string[] = [];
    const frames: RestartedFrame[] = [];
    const drain = new DrainState(null, pino({}, lines));
    const commands = new EdgeCommands({
      drain,
      restarts: restartsOf(() => 0).restarts,
      revoke: (keyId) => revoked.push(keyId),
      onRestarted: (frame) => void frames.push(frame),
      log: pino({}, lines),
    });
    expect(drain.drained).toBe(false);
    commands.handle({ t: "drain", at: 1 });
    commands.handle({ t: "drain", at: 1 });
    expect(drain.drained).toBe(true);
    commands.handle({ t: "resume", at: 2 });
    expect(drain.drained).toBe(false);
    commands.handle({ t: "revoke", keyId: "key-7" });
    commands.handle({ t: "warning", message: "another fleet file" });
    // Frames can arrive twice.
    commands.handle({ t: "restart", port: WANTED, id: "req_1" });
    commands.handle({ t: "restart", port: WANTED, id: "req_1" });
    await until(() => frames.length > 0);
    expect(frames).toEqual([{ t: "restarted", id: "req_1", port: WANTED, outcome: "ready", tookMs: 0 }]);
    expect(revoked).toEqual(["key-7"]);
    expect(log).toMatchObject([
      { event: "drain", by: "edge" },
      { event: "resume", by: "edge" },
      { event: "revoked", key: "key-7", refused: 1 },
      { event: "edge-warning", message: "another fleet file" },
      { event: "restart-requested", port: WANTED, outcome: "ready" },
    ]);
  });
});

it("a restart ordered by an edge of an earlier release is executed, and reported to the log only", async () => {
  const log: Record<string, unknown>[] = [];
  const lines = { write: (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>) };
  const frames: RestartedFrame[] = [];
  const commands = new EdgeCommands({
    drain: new DrainState(null, pino({}, lines)),
    restarts: restartsOf(() => 0).restarts,
    revoke: () => 0,
    onRestarted: (frame) => void frames.push(frame),
    log: pino({}, lines),
  });
  commands.handle({ t: "restart", port: WANTED });
  await until(() => log.length === 1);
  expect(log[0]).toMatchObject({ event: "restart-requested", outcome: "ready" });
  expect(frames).toEqual([]);
});

it("a restart that fails with an exception is logged and reported, and the process continues", async () => {
  const frames: RestartedFrame[] = [];
  const log: Record<string, unknown>[] = [];
  const lines = { write: (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>) };
  const commands = new EdgeCommands({
    drain: new DrainState(null, pino({}, lines)),
    restarts: { restart: () => Promise.reject(new RangeError("marker")) },
    revoke: () => 0,
    onRestarted: (frame) => void frames.push(frame),
    log: pino({}, lines),
  });
  commands.handle({ t: "restart", port: WANTED, id: "req_1" });
  await until(() => frames.length === 1);
  expect(log[0]).toMatchObject({
    event: "restart-requested",
    port: WANTED,
    outcome: "failed",
    reason: "RangeError",
  });
  expect(frames[0]).toMatchObject({ id: "req_1", outcome: "failed" });
});

describe("a drain", () => {
  let folder: string;
  let log: Record<string, unknown>[];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "isha-drain-"));
    log = [];
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));
  const path = (): string => join(folder, "state", "drain.json");
  const started = (at = path()): DrainState =>
    new DrainState(
      at,
      pino({}, { write: (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>) }),
    );

  it("is kept for the next process of the agent, until a resume", async () => {
    expect(started().apply({ drained: true, at: 5 })).toBe(true);
    const next = started();
    expect([next.drained, next.newest]).toEqual([true, { drained: true, at: 5 }]);
    expect(log).toMatchObject([{ event: "drain", by: path(), since: 5 }]);
    expect((await stat(path())).mode & 0o777).toBe(0o600);
    next.apply({ drained: false, at: 6 });
    expect(started().drained).toBe(false);
    expect(await readdir(join(folder, "state"))).toEqual(["drain.json"]);
  });

  it("that is older than the newest command changes nothing, whichever arrives last", () => {
    const drain = started();
    drain.apply({ drained: true, at: 5 });
    drain.apply({ drained: false, at: 7 });
    expect(drain.apply({ drained: true, at: 6 })).toBe(false);
    expect([drain.drained, started().drained]).toEqual([false, false]);
  });

  it.each([
    ["unreadable", "{", "SyntaxError"],
    ["another program's", '{"drained":"yes"}', "ZodError"],
  ])(
    "whose file is %s is logged with the fix, and the next command replaces the file",
    async (_, text, reason) => {
      await mkdir(join(folder, "state"));
      await writeFile(path(), text);
      const drain = started();
      expect(drain.drained).toBe(false);
      expect(log).toMatchObject([
        { event: "drain-file", reason, advice: expect.stringContaining(path()) as string },
      ]);
      drain.apply({ drained: true, at: 1 });
      expect(started().drained).toBe(true);
    },
  );

  it("that can't be stored holds in this process, and is logged", async () => {
    await writeFile(join(folder, "state"), "a file where the folder should be");
    const drain = started();
    drain.apply({ drained: true, at: 1 });
    expect(drain.drained).toBe(true);
    expect(log.at(-1)).toMatchObject({ event: "drain-file" });
  });
});

describe("revoked keys", () => {
  it("are remembered while their calls may still arrive, up to a maximum number", () => {
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
