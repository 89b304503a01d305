import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Pm2Probe, processOf, type Pm2Restart } from "../../../origin-agent/probes/pm2.ts";
import type { Pm2Process } from "../../../origin-agent/probes/pm2-listing.ts";
import { isAlive } from "../support/is-alive.ts";
import { until, WAIT_MS } from "../../support/until.ts";

const JLIST = readFileSync(new URL("../../fixtures/pm2-7-jlist.txt", import.meta.url), "utf8");

const homes: string[] = [];
function newHome(): string {
  const home = mkdtempSync(join(tmpdir(), "pm2-home-"));
  homes.push(home);
  return home;
}
afterAll(() => homes.forEach((home) => rmSync(home, { recursive: true, force: true })));

interface Watched {
  readonly probe: Pm2Probe;
  readonly problems: (string | null)[];
}

function probeOf(home: string, listTimeoutMs = WAIT_MS): Watched {
  const problems: (string | null)[] = [];
  const onProblem = (problem: string | null): void => void problems.push(problem);
  return { probe: new Pm2Probe({ home, onProblem, wallClock: Date.now, listTimeoutMs }), problems };
}

/** One message of PM2's protocol, as its own daemon frames it. */
function framed(...parts: readonly string[]): Buffer {
  const bodies = parts.map((part) => Buffer.from(part));
  const lengths = bodies.map((body) =>
    Buffer.from([0, body.length >> 16, (body.length >> 8) & 255, body.length & 255]),
  );
  return Buffer.concat([
    Buffer.from([0x10 | parts.length]),
    ...bodies.flatMap((body, at) => [lengths[at] ?? Buffer.alloc(4), body]),
  ]);
}

interface RpcCall {
  readonly method: string;
  readonly args: readonly unknown[];
}

describe("a daemon", () => {
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    for (const server of servers.splice(0)) server.close();
  });

  /** Replaces PM2's daemon and records the calls that it receives. */
  async function daemon(
    reply: (call: RpcCall, socket: Socket) => void,
  ): Promise<{ home: string; received: RpcCall[] }> {
    const home = newHome();
    const received: RpcCall[] = [];
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.once("data", (bytes: Buffer) => {
        const text = bytes.toString("utf8", 5, 5 + bytes.readUInt32BE(1));
        const call = JSON.parse(text.slice(2)) as RpcCall;
        received.push(call);
        reply(call, socket);
      });
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(join(home, "rpc.sock"), resolve));
    return { home, received };
  }

  const lists = (_: RpcCall, socket: Socket): void =>
    void socket.write(framed(`j:{"args":[${JLIST}]}`, "s:isha"));

  it("returns its processes without their environments", async () => {
    const { home, received } = await daemon(lists);
    const { probe, problems } = probeOf(home);
    const listed = await probe.list();
    expect(listed).toHaveLength(8);
    expect(JSON.stringify(listed)).not.toContain("planted");
    expect(received).toEqual([{ type: "call", method: "getMonitorData", args: [{}] }]);
    expect(problems).toEqual([]);
  });

  it("may reply in pieces of any size", async () => {
    const { home } = await daemon((_, socket) => {
      const bytes = framed(`j:{"args":[${JLIST}]}`, "s:isha");
      let at = 0;
      const next = (): void => {
        const size = at < 20 ? 1 : 1_777;
        if (at < bytes.length) socket.write(bytes.subarray(at, at + size), next);
        at += size;
      };
      next();
    });
    expect(await probeOf(home).probe.list()).toHaveLength(8);
  });

  it.each<[string, (call: RpcCall, socket: Socket) => void, string]>([
    ["that never replies", () => undefined, "timeout"],
    ["that closes the connection immediately", (_, socket) => socket.destroy(), "not-running"],
    [
      "that closes the connection in the middle of the reply",
      (_, socket) => socket.end(framed(`j:{"args":[${JLIST}]}`).subarray(0, 900)),
      "malformed",
    ],
    [
      "that uses another protocol",
      (_, socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"),
      "malformed",
    ],
    [
      "that announces a huge reply",
      (_, socket) => socket.write(Buffer.from([0x12, 0xff, 0xff, 0xff, 0xff])),
      "malformed",
    ],
    [
      "that sends a huge reply",
      (_, socket) =>
        socket.write(
          Buffer.concat([Buffer.from([0x12, 0, 0x7f, 0xff, 0xff]), Buffer.alloc(9 * 1024 * 1024)]),
        ),
      "malformed",
    ],
    [
      "whose JSON is invalid",
      (_, socket) => socket.write(framed('j:{"args":[{"env":"planted', "s:isha")),
      "malformed",
    ],
    [
      "that returns something else",
      (_, socket) => socket.write(framed('j:{"args":[{"a":1}]}', "s:isha")),
      "malformed",
    ],
    ["that returns nothing", (_, socket) => socket.write(framed("j:null", "s:isha")), "malformed"],
    [
      "that returns an error",
      (_, socket) => socket.write(framed('j:{"error":"planted","stack":"planted"}', "s:isha")),
      "error",
    ],
  ])("%s is reported once, without its text, and lists null", async (_, reply, failure) => {
    const { home } = await daemon(reply);
    const { probe, problems } = probeOf(home, failure === "timeout" ? 100 : WAIT_MS);
    expect(await probe.list()).toBe(null);
    expect(await probe.list()).toBe(null);
    expect(problems).toEqual([failure]);
  });

  it("that isn't running is reported once, isn't started, and is found when it starts", async () => {
    const home = newHome();
    const { probe, problems } = probeOf(home);
    expect(await probe.list()).toBe(null);
    expect(await probe.list()).toBe(null);
    expect(await probe.restart({ name: "llama-qwen-8080", port: 8080 })).toBe("no-pm2");
    expect(problems).toEqual(["not-running"]);
    const server = createServer(
      (socket) => void socket.once("data", () => lists({ method: "", args: [] }, socket)),
    );
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(join(home, "rpc.sock"), resolve));
    expect(await probe.list()).toHaveLength(8);
    expect(problems).toEqual(["not-running", null]);
  });

  it.each<[string, string, Pm2Restart, string[]]>([
    ["a running process", "llama-qwen-8080", "restarted", ['restartProcessId [{"id":1}]']],
    ["a stopped process", "llama-medpalm2-8081", "restarted", ['restartProcessId [{"id":2}]']],
    [
      "a process that waits for its restart, after stopping it",
      "llama-openinsurance-8084",
      "restarted",
      ["stopProcessId [5]", 'restartProcessId [{"id":5}]'],
    ],
    ["no process of an unknown name", "llama-8099", "unknown-name", []],
    ["no process if PM2 fails", "llama-bimedix2-8085", "failed", ['restartProcessId [{"id":6}]']],
  ])("restarts %s", async (_, name, outcome, calls) => {
    const { home, received } = await daemon((call, socket) => {
      if (call.method === "getMonitorData") lists(call, socket);
      else if (call.args.some((arg) => JSON.stringify(arg) === '{"id":6}'))
        socket.write(framed('j:{"error":"no"}', "s:isha"));
      else socket.write(framed('j:{"args":[{"env":"planted"}]}', "s:isha"));
    });
    expect(await probeOf(home).probe.restart({ name, port: 8080 })).toBe(outcome);
    expect(received.slice(1).map(({ method, args }) => `${method} ${JSON.stringify(args)}`)).toEqual(calls);
  });

  it.each<[string, number, number]>([
    ["the one that was started for the port", 1, 8099],
    ["if both were started for it, the one that has run for longer", 2, 8085],
  ])("restarts, of two processes with one name, %s", async (_, restarted, otherPort) => {
    const entry = (pmId: number, port: number): object => ({
      name: "llama",
      pm_id: pmId,
      pid: 10 + pmId,
      pm2_env: {
        status: "online",
        restart_time: 0,
        pm_uptime: 10 - pmId,
        args: ["--host", "127.0.0.1", "--port", String(port)],
      },
    });
    const listing = JSON.stringify({ args: [[entry(1, 8085), entry(2, otherPort)]] });
    const { home, received } = await daemon((call, socket) => {
      socket.write(framed(call.method === "getMonitorData" ? `j:${listing}` : 'j:{"args":[{}]}', "s:isha"));
    });
    expect(await probeOf(home).probe.restart({ name: "llama", port: 8085 })).toBe("restarted");
    expect(received.slice(1).map(({ args }) => args)).toEqual([[{ id: restarted }]]);
  });
});

it("of several processes with one name and port, the oldest running one is the server's: the others can't listen", () => {
  const base = { name: "llama-8085", status: "online", restarts: 0, port: 8085 } as const;
  const list: Pm2Process[] = [
    { ...base, pmId: 0, pid: null, status: "stopped", uptimeMs: null },
    { ...base, pmId: 1, pid: 11, uptimeMs: 90_000 },
    { ...base, pmId: 2, pid: 12, uptimeMs: 2_000 },
  ];
  const server = { name: "llama-8085", port: 8085 };
  expect(processOf(list, server)?.pmId).toBe(1);
  expect(processOf(list.slice(0, 1), server)?.pmId).toBe(0);
  expect(processOf(list, { ...server, name: "other" })).toBe(null);
  expect(processOf(null, server)).toBe(null);
});

describe("of two processes with one name, the one that was started for another port", () => {
  const ours = {
    name: "llama",
    pmId: 1,
    pid: 11,
    status: "online",
    restarts: 0,
    uptimeMs: 9_000,
    port: 8085,
  } as const;
  const other = { ...ours, pmId: 2, pid: 12, uptimeMs: 1_000, port: 8099 };

  it("is not the server's, even if it is the younger one or the only one", () => {
    expect(processOf([other, ours], { name: "llama", port: 8085 })?.pmId).toBe(1);
    expect(processOf([other], { name: "llama", port: 8085 })).toBe(null);
  });
});

/** PM2's own program, if this machine has it. */
const PM2 = [join(process.cwd(), "node_modules", ".bin"), ...(process.env["PATH"] ?? "").split(delimiter)]
  .map((folder) => join(folder, "pm2"))
  .find((path) => existsSync(path));

describe.runIf(PM2 !== undefined)("a real PM2", () => {
  const home = newHome();
  const pm2 = (...args: readonly string[]): string =>
    execFileSync(PM2 ?? "", args, {
      encoding: "utf8",
      cwd: home,
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env["PATH"], HOME: home, PM2_HOME: home, PLANTED: "planted-secret" },
    });

  beforeAll(() => {
    writeFileSync(join(home, "stay.cjs"), "setInterval(() => undefined, 1000);");
    writeFileSync(join(home, "crash.cjs"), "process.exit(1);");
    // However slow this machine is, one process waits until the end, and no run of the other counts as stable.
    const never = 3_600_000;
    const apps = [
      { name: "llama-stay", script: "stay.cjs" },
      { name: "llama-waits", script: "crash.cjs", exp_backoff_restart_delay: never },
      {
        name: "llama-given-up",
        script: "crash.cjs",
        restart_delay: 10,
        max_restarts: 2,
        min_uptime: never,
      },
    ];
    writeFileSync(join(home, "apps.json"), JSON.stringify({ apps }));
    pm2("start", "apps.json");
  });
  afterAll(() => void pm2("kill"));

  const named = async (probe: Pm2Probe, name: string): Promise<Pm2Process | null> =>
    processOf(await probe.list(), { name, port: 1 });

  it("lists its processes as in the fixture", async () => {
    const { probe, problems } = probeOf(home);
    await until(
      async () => (await named(probe, "llama-waits"))?.status === "waiting restart",
      "a waiting process",
    );
    await until(
      async () => (await named(probe, "llama-given-up"))?.status === "errored",
      "a process that PM2 has given up on",
    );
    const stay = await named(probe, "llama-stay");
    expect(stay).toMatchObject({ status: "online", restarts: 0 });
    expect(isAlive(stay?.pid ?? -1)).toBe(true);
    expect(stay?.uptimeMs).toBeGreaterThan(0);
    expect(JSON.stringify(await probe.list())).not.toContain("planted");
    expect(pm2("jlist")).toContain("planted-secret");
    expect(problems).toEqual([]);
  });

  it("restarts a running process, a waiting one and one it has given up on", async () => {
    const { probe } = probeOf(home);
    const before = await named(probe, "llama-stay");
    expect(await probe.restart({ name: "llama-stay", port: 1 })).toBe("restarted");
    expect(await named(probe, "llama-stay")).toMatchObject({ status: "online", restarts: 1 });
    expect(isAlive(before?.pid ?? -1)).toBe(false);
    await until(
      async () => (await named(probe, "llama-waits"))?.status === "waiting restart",
      "a waiting process",
    );
    expect(await probe.restart({ name: "llama-waits", port: 1 })).toBe("restarted");
    expect(await probe.restart({ name: "llama-given-up", port: 1 })).toBe("restarted");
    expect(await probe.restart({ name: "llama-none", port: 1 })).toBe("unknown-name");
  });
});
