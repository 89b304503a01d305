// The stand-in for PM2's daemon, used by the agent's own client.
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { callPm2 } from "../../../origin-agent/probes/pm2-rpc.ts";
import { Pm2Probe } from "../../../origin-agent/probes/pm2.ts";
import { listenAsPm2 } from "../../../scripts/start/pm2-socket.ts";
import { WAIT_MS } from "../../support/until.ts";

let home: string;
let server: Server;
const restarted: unknown[] = [];
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "pm2-"));
  server = await listenAsPm2(join(home, "rpc.sock"), {
    getMonitorData: () => [
      {
        name: "llama",
        pm_id: 3,
        pid: 7,
        pm2_env: { status: "online", restart_time: 2, args: ["--port", "41000"] },
      },
    ],
    restartProcessId: (argument) => void restarted.push(argument),
    stopProcessId: () => {
      throw new Error("it doesn't stop");
    },
  });
});
afterAll(async () => {
  server.close();
  await rm(home, { recursive: true });
});

it("lists processes for the agent, which restarts one", async () => {
  const probe = new Pm2Probe({
    home,
    onProblem: () => undefined,
    wallClock: Date.now,
    listTimeoutMs: WAIT_MS,
  });
  expect(await probe.list()).toMatchObject([
    { name: "llama", pid: 7, status: "online", restarts: 2, port: 41_000 },
  ]);
  expect(await probe.restart({ name: "llama", port: 41_000 })).toBe("restarted");
  expect(restarted).toEqual([{ id: 3 }]);
});

it("answers with an error if a method fails or is unknown", async () => {
  for (const method of ["stopProcessId", "toString"]) {
    const reply = await callPm2(join(home, "rpc.sock"), method, 3, WAIT_MS);
    expect(reply).toEqual({ ok: false, failure: "error" });
  }
});

it("takes a call that arrives in pieces", async () => {
  const socket = connect(join(home, "rpc.sock"));
  const call = Buffer.from('j:{"type":"call","method":"getMonitorData","args":[{}]}');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(call.length);
  for (const piece of [Buffer.from([0x11]), length, call.subarray(0, 9), call.subarray(9)])
    socket.write(piece);
  const answer = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
  expect(answer.toString()).toContain('"pm_id":3');
  socket.destroy();
});
