// Requests to a box: the agent's own answer, or a tagged failure. Another program's page is never an answer.
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { Box } from "../../../shared/fleet.ts";
import { originFetch, type OriginAnswer, type OriginRequest } from "../../../worker/fleet/box-fetch.ts";
import { fleetOf } from "../support/fleets.ts";
import { SETTINGS } from "../support/forwarding.ts";
import { agentAnswer, connectionLost, fakeFetch, streamOf } from "../support/origin.ts";
import { untilHolds } from "../support/until.ts";

const [NORTH] = fleetOf().boxes as [Box];
const REQUEST: OriginRequest = { method: "POST", path: "/v1/x", headers: {}, timeoutMs: 60_000 };

const ask = async (more: Partial<OriginRequest> = {}, settings = SETTINGS): Promise<OriginAnswer> =>
  originFetch(NORTH, settings, { ...REQUEST, ...more });

const html = (status: number, headers: Record<string, string> = {}): Response =>
  new Response(status === 304 ? null : "<h1>Error 1033: what the patient said</h1>", {
    status,
    headers: { "content-type": "text/html", ...headers },
  });

describe("a request", () => {
  it("is sent with the box's token and no other header", async () => {
    const sent = fakeFetch(() => agentAnswer("north", "{}"));
    const body = new TextEncoder().encode('{"a":"é"}');
    await ask({ headers: { "content-type": "application/json", "x-isha-call": "1" }, body });
    expect(sent.length).toBe(1);
    expect(sent[0]?.url.href).toBe("https://north.example/v1/x");
    expect(sent[0]?.method).toBe("POST");
    expect(sent[0]?.bytes).toEqual(body);
    expect(sent[0]?.redirect).toBe("manual");
    expect(Object.fromEntries(sent[0]?.headers ?? [])).toMatchObject({ accept: "application/json" });
    expect([...(sent[0]?.headers.keys() ?? [])]).toEqual([
      "accept",
      "content-type",
      "x-isha-call",
      "x-isha-token",
    ]);
    expect(sent[0]?.headers.get("x-isha-token")).toMatch(/^[0-9a-f]{64}$/);
  });

  it("has a token for this box, secret and direction only", async () => {
    const sent = fakeFetch(() => agentAnswer("north", "{}"));
    await ask();
    await ask();
    await ask({}, { ...SETTINGS, boxSecret: "another secret altogether" });
    await originFetch({ ...NORTH, name: "south" }, SETTINGS, REQUEST);
    const tokens = sent.map(({ headers }) => headers.get("x-isha-token"));
    expect(tokens[0]).toBe(tokens[1]);
    expect(new Set(tokens).size).toBe(3);
    expect(tokens[0]).toBe(await hmac(SETTINGS.boxSecret, "isha-box-token/1:5:north:edge-to-agent"));
    for (const token of tokens) expect(token).not.toContain(SETTINGS.boxSecret);
  });

  it("has the Access service token if one is configured", async () => {
    const sent = fakeFetch(() => agentAnswer("north", "{}"));
    await ask({}, { ...SETTINGS, access: { clientId: "id.access", clientSecret: "secret" } });
    expect(sent[0]?.headers.get("cf-access-client-id")).toBe("id.access");
    expect(sent[0]?.headers.get("cf-access-client-secret")).toBe("secret");
  });

  it("goes to the environment's origin, else to the fleet file's", async () => {
    const sent = fakeFetch(() => agentAnswer("north", "{}"));
    const boxOrigins = { north: "http://127.0.0.1:8123", south: "http://127.0.0.1:9" };
    await ask({}, { ...SETTINGS, boxOrigins });
    expect(sent[0]?.url.href).toBe("http://127.0.0.1:8123/v1/x");
  });

  it("goes to the requested path, however the box's address is written", async () => {
    const sent = fakeFetch(() => agentAnswer("north", "{}"));
    for (const north of ["http://127.0.0.1:8123/", "http://127.0.0.1:8123/old?a=1"]) {
      await ask({}, { ...SETTINGS, boxOrigins: { north } });
    }
    for (const { url } of sent) expect(url.href).toBe("http://127.0.0.1:8123/v1/x");
  });
});

describe("a response is an answer", () => {
  it.each([200, 400, 403, 429, 500, 502, 503, 504])(
    "if it is the agent's, whatever its status: %i",
    async (status) => {
      fakeFetch(() => agentAnswer("north", '{"a":1}', { status }));
      const answer = await ask();
      expect(answer.kind).toBe("answer");
      if (answer.kind !== "answer") return;
      expect(answer.response.status).toBe(status);
      expect(await answer.response.json()).toEqual({ a: 1 });
    },
  );

  it("if its headers are in time, even if its body is late", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const sent = fakeFetch(() => agentAnswer("north", streamOf(["slow", " text"])));
    const answer = await ask({ timeoutMs: 100 });
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(answer.kind === "answer" && (await answer.response.text())).toBe("slow text");
    expect(sent[0]?.signal.aborted).toBe(false);
  });
});

/** Cloudflare's JSON of an error of its own, for a request that accepts it. */
const cloudflareError = (code: number): string =>
  JSON.stringify({
    type: `https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/error-${code}/`,
    title: `Error ${code}`,
    status: 530,
    detail: "what the patient said",
    instance: "9d99a4434fb2d168",
    error_code: code,
    error_name: "tunnel_error",
    error_category: "dns",
    ray_id: "9d99a4434fb2d168",
    cloudflare_error: true,
    retryable: true,
  });

const page = (status: number, body: BodyInit): Response =>
  new Response(body, { status, headers: { "content-type": "application/json; charset=utf-8" } });

describe("the call provably did not begin after", () => {
  it.each<[string, () => Response]>([
    ["Access's redirect to its login", () => html(302, { location: "https://x.cloudflareaccess.com/login" })],
    ["Access's 401 for an unknown service token", () => html(401)],
    ["Access's 403", () => html(403)],
    ["cloudflared's 404 for a hostname without a rule", () => html(404)],
    ["530 with 1033: the tunnel has no connection", () => page(530, cloudflareError(1033))],
    ["530 with 1016: the tunnel's hostname doesn't resolve", () => page(530, cloudflareError(1016))],
    ["530 with 1033 as text", () => page(530, "error code: 1033")],
    ["530 with 1033 in pieces", () => page(530, streamOf(['{"error_co', 'de": 10', '33, "x": 1}']))],
    ["another box's agent, which refuses the token", () => agentAnswer("south", "{}", { status: 403 })],
  ])("%s", async (_, script) => {
    fakeFetch(script);
    const answer = await ask();
    expect(answer).toMatchObject({
      kind: "not-begun",
      internal: expect.stringContaining("north") as string,
    });
    expect(JSON.stringify(answer)).not.toMatch(/patient|1033|cloudflareaccess/);
  });
});

describe("the call may have begun after", () => {
  it.each<[string, () => Response]>([
    ["a broken connection", connectionLost],
    ["a page with status 200", () => html(200)],
    ["cloudflared's 502: the agent closed the connection, or doesn't listen", () => html(502)],
    ["a foreign 500", () => html(500)],
    ["a foreign 503", () => html(503)],
    ["a 520 and a 521", () => html(521)],
    ["530 with another code", () => page(530, cloudflareError(1014))],
    ["530 with HTML", () => html(530)],
    ["530 with nothing", () => new Response(null, { status: 530 })],
    ["530 with its code beyond 4 KiB", () => page(530, " ".repeat(4096) + cloudflareError(1033))],
    ["530 that breaks off", () => page(530, streamOf(['{"error_'], "breaks"))],
    ["another program's JSON", () => Response.json({ choices: [] })],
    ["another box's agent", () => agentAnswer("south", "{}")],
    ["an answer without an agent's name", () => agentAnswer("", "{}")],
  ])("%s", async (_, script) => {
    fakeFetch(script);
    const answer = await ask();
    expect(answer).toMatchObject({
      kind: "broken",
      internal: expect.stringContaining("north") as string,
    });
    expect(JSON.stringify(answer)).not.toMatch(/patient|1033|lost|cloudflareaccess/);
  });

  it("an endless 530, of which 4 KiB are read", async () => {
    let pulled = 0;
    let cancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled += 1024;
        controller.enqueue(new Uint8Array(1024));
      },
      cancel() {
        cancelled = true;
      },
    });
    fakeFetch(() => page(530, endless));
    expect(await ask()).toMatchObject({ kind: "broken" });
    expect(pulled).toBeLessThanOrEqual(3 * 4096);
    expect(cancelled).toBe(true);
  });

  it("a response whose body is then cancelled", async () => {
    let cancelled = false;
    const endless = new ReadableStream({
      cancel() {
        cancelled = true;
      },
    });
    fakeFetch(() => new Response(endless, { status: 502 }));
    await ask();
    expect(cancelled).toBe(true);
  });
});

describe("the request timed out after", () => {
  it.each([504, 522, 524])("a proxy's %i", async (status) => {
    fakeFetch(() => html(status));
    expect(await ask()).toMatchObject({
      kind: "timeout",
      internal: expect.stringContaining(String(status)) as string,
    });
  });

  it("a 530 whose page doesn't end in time", async () => {
    fakeFetch(() => page(530, new ReadableStream({ pull: async () => new Promise(() => undefined) })));
    expect(await ask({ timeoutMs: 1 })).toMatchObject({ kind: "timeout" });
  });

  it("headers that are late", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const sent = fakeFetch(({ signal }) => silence(signal));
    let received: OriginAnswer | null = null;
    void ask({ timeoutMs: 5_000 }).then((answer) => (received = answer));
    await untilHolds(() => expect(sent.length).toBe(1));
    await vi.advanceTimersByTimeAsync(4_999);
    expect(received).toBeNull();
    await vi.advanceTimersByTimeAsync(1);
    await untilHolds(() => expect(received).toMatchObject({ kind: "timeout" }));
  });

  it("a response that came too late, whose body is then cancelled", async () => {
    let cancelled = false;
    const endless = new ReadableStream({
      cancel() {
        cancelled = true;
      },
    });
    const { promise: late, resolve: answerNow } = Promise.withResolvers<Response>();
    fakeFetch(() => late);
    expect(await ask({ timeoutMs: 1 })).toMatchObject({ kind: "timeout" });
    answerNow(agentAnswer("north", endless));
    await untilHolds(() => expect(cancelled).toBe(true));
  });
});

it("a client that disconnects aborts the request", async () => {
  const client = new AbortController();
  const sent = fakeFetch(({ signal }) => silence(signal));
  const pending = ask({ signal: client.signal });
  await untilHolds(() => expect(sent.length).toBe(1));
  client.abort();
  expect(await pending).toMatchObject({ kind: "broken" });
  expect(sent[0]?.signal.aborted).toBe(true);
});

/** Never answers; rejects when the request is aborted. */
async function silence(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
  });
}

async function hmac(secret: string, text: string): Promise<string> {
  const encode = (part: string): Uint8Array => new TextEncoder().encode(part);
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", encode(secret), algorithm, false, ["sign"]);
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, encode(text)));
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
