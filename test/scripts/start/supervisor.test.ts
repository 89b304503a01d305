import { describe, expect, it } from "vitest";
import { SupervisedProcess } from "../../../scripts/start/supervisor.ts";

/** A process of the test's, and a clock that only the test moves. */
function supervised(): {
  process: SupervisedProcess;
  state: { now: number; pid: number | null; starts: number; fails: number };
  /** Ends the process as by kill -9. @returns the pause before its start */
  kill: () => number | null;
  /** Lets the pending timer fire, and what it starts finish. */
  pass: (ms: number) => Promise<void>;
} {
  const state = { now: 0, pid: 100 as number | null, starts: 0, fails: 0 };
  let timer: { at: number; run: () => void } | null = null;
  const managed = {
    name: "llama-small-8080",
    port: () => 41_000,
    pid: () => state.pid,
    start: async () => {
      state.starts += 1;
      if (state.fails > 0) {
        state.fails -= 1;
        throw new Error("no memory");
      }
      state.pid = 100 + state.starts;
    },
    stop: async () => void (state.pid = null),
  };
  const process = new SupervisedProcess(managed, 3, {
    now: () => state.now,
    after: (ms, run) => {
      const mine = { at: state.now + ms, run };
      timer = mine;
      return () => void (timer === mine && (timer = null));
    },
  });
  return {
    process,
    state,
    kill: () => {
      state.pid = null;
      return process.exited();
    },
    async pass(ms) {
      state.now += ms;
      const due = timer !== null && timer.at <= state.now ? timer : null;
      if (due === null) return;
      timer = null;
      due.run();
      // Its work is queued behind that of an operator, of which there is none.
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

describe("a killed process", () => {
  it("is started again after a pause, and its restarts are counted", async () => {
    const { process, state, kill, pass } = supervised();
    expect(kill()).toBe(100);
    expect(process.listed()).toMatchObject({
      pid: 100,
      pm2_env: { status: "waiting restart", restart_time: 0 },
    });
    await pass(99);
    expect(state.pid).toBeNull();
    await pass(1);
    expect(process.listed()).toEqual({
      name: "llama-small-8080",
      pm_id: 3,
      pid: 101,
      pm2_env: {
        status: "online",
        restart_time: 1,
        pm_uptime: Math.round(performance.timeOrigin + 100),
        args: ["--port", "41000"],
      },
    });
  });

  it("waits longer each time, as under PM2, until it has run for 30 s", async () => {
    const { kill, pass } = supervised();
    const pauses: (number | null)[] = [];
    for (let time = 0; time < 16; time += 1) {
      const pause = kill();
      pauses.push(pause);
      await pass(pause ?? 0);
    }
    expect(pauses.slice(0, 4)).toEqual([100, 150, 225, 337]);
    expect(pauses.at(-1)).toBe(15_000);
    await pass(30_000);
    expect(kill()).toBe(100);
  });

  it("that can't be started is tried again", async () => {
    const { state, kill, pass } = supervised();
    state.fails = 1;
    kill();
    await pass(100);
    expect(state.pid).toBeNull();
    await pass(150);
    expect(state).toMatchObject({ pid: 102, starts: 2 });
  });

  it("stays down once everything ends, or if it was stopped", async () => {
    const ending = supervised();
    ending.kill();
    ending.process.end();
    await ending.pass(60_000);
    expect(ending.state.starts).toBe(0);
    const stopped = supervised();
    await stopped.process.stop();
    expect(stopped.process.exited()).toBeNull();
    expect(stopped.process.listed()).toMatchObject({ pid: 0, pm2_env: { status: "stopped" } });
  });
});

describe("an operator's restart", () => {
  it("replaces a running process", async () => {
    const { process, state } = supervised();
    await process.restart();
    expect(state).toMatchObject({ pid: 101, starts: 1 });
    expect(process.restarts).toBe(1);
  });

  it("of a waiting one starts it once", async () => {
    const { process, state, kill, pass } = supervised();
    kill();
    await process.restart();
    await pass(60_000);
    expect(state.starts).toBe(1);
  });

  it("that fails is an error for its caller", async () => {
    const { process, state } = supervised();
    state.fails = 1;
    await expect(process.restart()).rejects.toThrow("no memory");
  });
});
