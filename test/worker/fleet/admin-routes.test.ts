// /admin/fleet and the operators' commands, with the real fleet object and real links behind them.
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { FleetHistory, FleetView } from "../../../shared/fleet-view.ts";
import { AuditList, type AuditEntry } from "../../../shared/keys.ts";
import type { Bindings } from "../../../worker/env.ts";
import { registryObject } from "../../../worker/stubs.ts";
import { hello, linked, snapshot } from "../support/agents.ts";
import { errorOf, type TestRequest, type Edge } from "../support/edge.ts";
import { stage } from "../support/fleet-stage.ts";
import { fakeFetch } from "../support/origin.ts";
import { untilHolds } from "../support/until.ts";

const ADMIN: TestRequest = { key: "dev-admin" };
const POST: TestRequest = { ...ADMIN, method: "POST" };
const HOOK = "https://hooks.example/alarms";

async function audited(edge: Edge, target: string): Promise<AuditEntry[]> {
  const answer = await edge(`/admin/audit?target=${encodeURIComponent(target)}`, ADMIN);
  return AuditList.parse(await answer.json()).entries;
}

describe("access", () => {
  const ROUTES: readonly (readonly [method: string, path: string])[] = [
    ["GET", "/admin/fleet"],
    ["GET", "/admin/fleet/events"],
    ["GET", "/admin/fleet/history?box=north"],
    ["POST", "/admin/boxes/north/drain"],
    ["POST", "/admin/boxes/north/resume"],
    ["POST", "/admin/boxes/north/servers/9000/restart"],
    ["POST", "/admin/alerts/test"],
  ];

  it.each(ROUTES)("to %s %s needs a key with the scope admin", async (method, path) => {
    const { edge } = stage();
    expect((await edge(path, { method, key: null })).status).toBe(401);
    const refused = await edge(path, { method, key: "dev-key" });
    expect(refused.status).toBe(403);
    expect((await errorOf(refused)).code).toBe("scope_missing");
  });

  it.each(["/admin/boxes/north/drain", "/admin/alerts/test"])("by GET to %s is refused", async (path) => {
    expect((await stage().edge(path, ADMIN)).status).toBe(405);
  });
});

describe("GET /admin/fleet", () => {
  it("returns the complete fleet by the contract, including a box that never dialled", async () => {
    const { edge, fleet, north } = stage();
    const before = FleetView.parse(await (await edge("/admin/fleet", ADMIN)).json());
    expect(before.boxes).toMatchObject([{ name: north, state: "silent", lastSeenAt: null }]);
    const agent = await linked(fleet, north);
    agent.send(snapshot(1));
    await untilHolds(async () => {
      const view = FleetView.parse(await (await edge("/admin/fleet", ADMIN)).json());
      expect(view.fleetHash).toMatch(/^[0-9a-f]{64}$/);
      expect(view.boxes).toMatchObject([
        {
          name: north,
          state: "up",
          fleetHash: hello()["fleetHash"],
          servers: [
            { port: 9000, state: "ready" },
            { port: 9001, state: "unknown" },
          ],
        },
      ]);
    });
  });

  it("answers HEAD with the same headers and no body", async () => {
    const { edge } = stage();
    const [head, get] = [
      await edge("/admin/fleet", { ...ADMIN, method: "HEAD" }),
      await edge("/admin/fleet", ADMIN),
    ];
    expect([head.status, head.headers.get("content-type")]).toEqual([200, get.headers.get("content-type")]);
    expect(await head.text()).toBe("");
  });
});

describe("GET /admin/fleet/history", () => {
  it("returns a box's figures by the contract, by default for fifteen minutes", async () => {
    const { edge, fleet, north } = stage();
    const agent = await linked(fleet, north);
    agent.send(snapshot(1));
    await untilHolds(async () => {
      const answer = await edge(`/admin/fleet/history?box=${north}`, ADMIN);
      expect(FleetHistory.parse(await answer.json())).toMatchObject({
        box: north,
        stepS: 10,
        busy: [1],
        serverGib: { 9000: [6.25] },
      });
    });
    const day = await edge(`/admin/fleet/history?box=${north}&minutes=1440`, ADMIN);
    expect(FleetHistory.parse(await day.json()).stepS).toBe(120);
  });

  it.each([
    ["", "box"],
    ["?box=", "box"],
    ["?box=NORTH&minutes=0", "minutes"],
    ["?box=NORTH&minutes=1441", "minutes"],
    ["?box=NORTH&minutes=1.5", "minutes"],
    ["?box=NORTH&minutes=soon", "minutes"],
    ["?box=NORTH&box=NORTH", "box"],
    ["?box=NORTH&hours=1", "hours"],
  ])("refuses %s and names the field", async (query, param) => {
    const { edge, north } = stage();
    const answer = await edge(`/admin/fleet/history${query.replaceAll("NORTH", north)}`, ADMIN);
    expect(answer.status).toBe(400);
    expect(await errorOf(answer)).toMatchObject({ code: "invalid_request", param });
  });
});

describe("a box or server outside the fleet", () => {
  it.each<[string, TestRequest]>([
    ["/admin/fleet/history?box=nowhere", ADMIN],
    ["/admin/boxes/nowhere/drain", POST],
    ["/admin/boxes/nowhere/resume", POST],
    ["/admin/boxes/nowhere/servers/9000/restart", POST],
  ])("%s is a 404 that lists the boxes", async (path, init) => {
    const { edge, north } = stage();
    const answer = await edge(path, init);
    expect(answer.status).toBe(404);
    const { code, message, param } = await errorOf(answer);
    expect({ code, param }).toEqual({ code: "not_found", param: "box" });
    expect(message).toContain(north);
    expect(await audited(edge, "nowhere")).toEqual([]);
  });

  it.each(["9002", "0", "-1", "x", "%20", "1e9"])(
    "a restart of port %s is a 404 that lists the ports",
    async (port) => {
      const { edge, north } = stage();
      const answer = await edge(`/admin/boxes/${north}/servers/${port}/restart`, POST);
      expect(answer.status).toBe(404);
      expect((await errorOf(answer)).message).toContain("9000, 9001");
    },
  );
});

describe("a command", () => {
  it("to drain and to resume reaches every agent of the box, is stored for those that dial later, and is audited", async () => {
    const { edge, fleet, north } = stage();
    const agent = await linked(fleet, north);
    const other = await linked(fleet, "another-box");
    const drained = await edge(`/admin/boxes/${north}/drain`, POST);
    expect([drained.status, await drained.json()]).toEqual([202, { box: north, agents: 1 }]);
    await untilHolds(() => expect(agent.frames).toMatchObject([{ t: "drain" }]));
    const late = await linked(fleet, north, "epoch-2");
    await untilHolds(() => expect(late.frames).toMatchObject([{ t: "drain" }]));
    expect(await (await edge(`/admin/boxes/${north}/resume`, POST)).json()).toEqual({
      box: north,
      agents: 2,
    });
    for (const each of [agent, late])
      await untilHolds(() => expect(each.frames.at(-1)).toMatchObject({ t: "resume" }));
    expect(other.frames).toEqual([]);
    expect(await audited(edge, north)).toMatchObject([
      { action: "box.resume", actor: "dev-admin" },
      {
        action: "box.drain",
        actor: "dev-admin",
        requestId: drained.headers.get("x-request-id"),
      },
    ]);
    const view = FleetView.parse(await (await edge("/admin/fleet", ADMIN)).json());
    expect(view.events.map(({ text }) => text)).toEqual([
      `${north} was resumed by an operator`,
      `${north} was drained by an operator`,
    ]);
  });

  it("given twice has the same effect: one resume ends a drain, and a resume of a box that isn't drained changes nothing", async () => {
    const { edge, fleet, north } = stage();
    for (const command of ["drain", "drain", "resume", "resume"]) {
      const answer = await edge(`/admin/boxes/${north}/${command}`, POST);
      expect([answer.status, await answer.json()]).toEqual([202, { box: north, agents: 0 }]);
    }
    const agent = await linked(fleet, north);
    await fleet.revoke("key-a");
    // The resume is sent again: the box may still have the drain in its file.
    await untilHolds(() =>
      expect(agent.frames).toMatchObject([{ t: "resume" }, { t: "revoke", keyId: "key-a" }]),
    );
    expect(await audited(edge, north)).toHaveLength(4);
  });

  it("to restart that no agent receives is refused, audited, and creates no event", async () => {
    const { edge, fleet, north } = stage();
    const answer = await edge(`/admin/boxes/${north}/servers/9000/restart`, POST);
    expect(answer.status).toBe(503);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await errorOf(answer)).code).toBe("no_box");
    expect(await audited(edge, `${north}:9000`)).toMatchObject([{ action: "server.restart" }]);
    expect((await fleet.state([north])).events).toEqual([]);
    // It isn't stored either: a box that comes back isn't restarted an hour later.
    const agent = await linked(fleet, north);
    await fleet.revoke("key-a");
    await untilHolds(() => expect(agent.frames.map(({ t }) => t)).toEqual(["revoke"]));
  });
});

describe("a restart", () => {
  /** Orders a restart of 9001, and lets its agent report the outcome. */
  async function restarted(outcome: string, tookMs: number) {
    const { edge, fleet, north } = stage();
    // As a real link does, it gives the object PM2's names.
    await edge("/admin/fleet", ADMIN);
    const agent = await linked(fleet, north);
    const ordered = edge(`/admin/boxes/${north}/servers/9001/restart`, POST);
    await untilHolds(() => expect(agent.frames).toHaveLength(1));
    const [frame] = agent.frames;
    if (frame?.t !== "restart") throw new Error("no restart");
    const report = { t: "restarted", id: frame.id, port: 9001, outcome, tookMs };
    // A frame can arrive twice.
    agent.send(report);
    agent.send(report);
    const answer = await ordered;
    const { events } = FleetView.parse(await (await edge("/admin/fleet", ADMIN)).json());
    return { edge, fleet, north, agent, frame, answer, events };
  }

  it("that ends with a ready server is answered with its time; event and audit report the same", async () => {
    const { edge, north, agent, frame, answer, events } = await restarted("ready", 9_120);
    const requestId = answer.headers.get("x-request-id");
    expect(frame).toEqual({ t: "restart", port: 9001, id: requestId });
    expect(agent.frames).toHaveLength(1);
    const text = `9001 on ${north} was restarted by an operator, ready after 9.1 s`;
    const expected = { box: north, port: 9001, agents: 1, outcome: "ready", tookMs: 9_120, text, advice: "" };
    expect([answer.status, await answer.json()]).toEqual([200, expected]);
    expect(events).toMatchObject([
      { box: north, port: 9001, level: "good", text },
      { box: north, port: 9001, level: "info", text: `9001 on ${north}: an operator requested a restart` },
    ]);
    expect(await audited(edge, `${north}:9001`)).toMatchObject([
      {
        action: "server.restart",
        actor: "dev-admin",
        requestId,
        detail: { outcome: "ready", tookMs: 9_120 },
      },
    ]);
  });

  it("of a server that isn't ready in time is a 202 that says where to look", async () => {
    const { north, answer, events } = await restarted("not-ready", 50_000);
    expect(answer.status).toBe(202);
    const body: { outcome: string; text: string; advice: string } = await answer.json();
    expect(body.outcome).toBe("not-ready");
    expect(body.text).toBe(`9001 on ${north} was restarted by an operator, but is not ready after 50 s`);
    expect(body.advice).toMatch(/isha status.*pm2 logs llama-9001/);
    expect(events[0]).toMatchObject({ level: "bad", text: body.text });
  });

  it.each([
    ["no-pm2", 502, "upstream_failed", /PM2 doesn't answer on .*pm2 status/],
    ["unknown-name", 502, "upstream_failed", /has no process llama-9001.*--only llama-9001/],
    ["failed", 502, "upstream_failed", /PM2 could not restart llama-9001.*pm2 logs llama-9001/],
    ["unknown-port", 502, "upstream_failed", /no server on 9001.*same fleet file/],
    ["too-soon", 503, "model_loading", /less than 10 s ago/],
  ])("that ends with %s is refused with the reason and the fix", async (outcome, status, code, words) => {
    const { edge, north, answer, events } = await restarted(outcome, 20);
    expect(answer.status).toBe(status);
    const error = await errorOf(answer);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(words);
    expect(events[0]?.text).toContain(`9001 on ${north} was not restarted: `);
    expect(error.message).toContain(events[0]?.text);
    expect(events).toHaveLength(2);
    expect((await audited(edge, `${north}:9001`))[0]?.detail).toEqual({ outcome, tookMs: 20 });
  });

  it("whose agent doesn't report is a 202 that says where to look", async () => {
    const { edge, north } = stage({}, () => ({ restart: () => ({ agents: 1, end: null }) }));
    const answer = await edge(`/admin/boxes/${north}/servers/9001/restart`, POST);
    expect(answer.status).toBe(202);
    expect(await answer.json()).toMatchObject({
      outcome: null,
      advice: expect.stringContaining("pm2 logs isha-agent") as string,
    });
  });

  it("whose report comes after the wait is an event all the same, and completes the audit's entry", async () => {
    const { edge, fleet, north } = stage();
    const requestId = `req_${crypto.randomUUID()}`;
    await registryObject(env).note({
      at: new Date(Date.now()).toISOString(),
      actor: "ana",
      action: "server.restart",
      target: `${north}:9000`,
      detail: {},
      requestId,
    });
    const agent = await linked(fleet, north);
    agent.send({ t: "restarted", id: requestId, port: 9000, outcome: "ready", tookMs: 61_000 });
    await untilHolds(async () =>
      expect((await audited(edge, `${north}:9000`))[0]?.detail).toEqual({ outcome: "ready", tookMs: 61_000 }),
    );
    const { events } = await fleet.state([north]);
    expect(events[0]?.text).toMatch(/ was restarted by an operator, ready after 1 min/);
    // A box can't write into the entry of another action.
    agent.send({ t: "restarted", id: "req_other", port: 9000, outcome: "failed", tookMs: 1 });
    await untilHolds(async () =>
      expect((await fleet.state([north])).events[0]?.text).toContain("not restarted"),
    );
    expect(await audited(edge, `${north}:9000`)).toHaveLength(1);
  });

  it("during a reload is sent to one agent only, the newest that takes calls", async () => {
    const { edge, fleet, north } = stage();
    const old = await linked(fleet, north);
    old.send(snapshot(1, { draining: true }));
    const next = await linked(fleet, north, "epoch-2");
    next.send(snapshot(1));
    await untilHolds(async () => {
      const agents = (await fleet.boxes()).find(({ box }) => box === north)?.agents;
      expect(agents?.map(({ snapshot }) => snapshot?.draining)).toEqual([false, true]);
    });
    const ordered = edge(`/admin/boxes/${north}/servers/9000/restart`, POST);
    await untilHolds(() => expect(next.frames).toHaveLength(1));
    const [frame] = next.frames;
    next.send({ ...frame, t: "restarted", outcome: "ready", tookMs: 1 });
    expect((await ordered).status).toBe(200);
    expect(old.frames).toEqual([]);
  });
});

describe("if the audit can't be written", () => {
  it.each(["boxes/NORTH/drain", "boxes/NORTH/resume", "boxes/NORTH/servers/9000/restart", "alerts/test"])(
    "%s is not executed, and the answer is an error",
    async (path) => {
      const executed: string[] = [];
      const note = (): never => {
        throw new Error("the registry is reset");
      };
      const registry = { getByName: () => ({ note }) } as unknown as Bindings["KEY_REGISTRY"];
      const { edge, north } = stage(
        {},
        () => ({
          command: () => executed.push("command"),
          restart: () => executed.push("restart"),
          testAlert: () => executed.push("testAlert"),
        }),
        { KEY_REGISTRY: registry },
      );
      expect((await edge(`/admin/${path.replace("NORTH", north)}`, POST)).status).toBe(500);
      expect(executed).toEqual([]);
    },
  );
});

describe("POST /admin/alerts/test", () => {
  async function withWebhook(url: string, status = 200) {
    const { edge, fleet } = stage();
    const sent = fakeFetch(() => new Response(null, { status }));
    await runInDurableObject(fleet, (instance) => {
      Object.assign(instance, { env: { ...env, ALERT_WEBHOOK_URL: url } });
    });
    const answer = await edge("/admin/alerts/test", POST);
    const [entry] = await audited(edge, "webhook");
    expect(entry).toMatchObject({ action: "alerts.test", requestId: answer.headers.get("x-request-id") });
    return { answer, sent };
  }

  it("posts one message, and reports its delivery", async () => {
    const { answer, sent } = await withWebhook(HOOK);
    expect([answer.status, await answer.json()]).toEqual([200, { delivered: true }]);
    expect(sent.map(({ method, url }) => `${method} ${url.href}`)).toEqual([`POST ${HOOK}`]);
    expect(JSON.parse(new TextDecoder().decode(sent[0]?.bytes))).toMatchObject({
      alarm: "test",
      state: "raised",
    });
  });

  it("reports that the message was refused, without the URL", async () => {
    const { answer, sent } = await withWebhook(HOOK, 404);
    expect([answer.status, sent.length]).toEqual([502, 1]);
    const { code, message } = await errorOf(answer);
    expect(code).toBe("upstream_failed");
    expect(message).toContain("ALERT_WEBHOOK_URL");
    expect(message).not.toContain("hooks.example");
  });

  it("states how to set the URL if there is none", async () => {
    const { answer, sent } = await withWebhook("");
    expect([answer.status, sent.length]).toEqual([400, 0]);
    expect((await errorOf(answer)).message).toContain("npx wrangler secret put ALERT_WEBHOOK_URL");
  });
});
