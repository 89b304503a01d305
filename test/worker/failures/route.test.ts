// GET /admin/requests/:id: a refused call's way through log, flush and store to the route's answer.
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { ERRORS } from "../../../shared/errors.ts";
import { meaningOf } from "../../../shared/error-meanings.ts";
import { AGENT_HEADER, CODE_HEADER, STARTED_HEADER } from "../../../shared/call-headers.ts";
import { FailedRequest } from "../../../shared/failures.ts";
import { fleetObject } from "../../../worker/stubs.ts";
import { sha256Hex } from "../../../worker/auth/keyed-hash.ts";
import { captureLog, CHAT, chat, edgeOf, errorOf, type TestRequest } from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";
import { fakeFetch } from "../support/origin.ts";
import { untilHolds } from "../support/until.ts";

const ADMIN: TestRequest = { key: "dev-admin" };
const WORDS = "the patient's words";

describe("GET /admin/requests/:id", () => {
  it("shows within seconds why a call was refused: code, route, key and meaning, and nothing the client wrote", async () => {
    captureLog();
    const key = `old-key-${crypto.randomUUID()}`;
    const keys = [{ name: "old", sha256: await sha256Hex(key), until: "2999-12-31" }];
    const edge = edgeOf(fleetOf({ legacy: { keys, anonymous: null } }));
    const refused = await edge(`${CHAT}?name=${encodeURIComponent(WORDS)}`, {
      body: chat({ max_tokens: WORDS }),
      key,
    });
    const id = refused.headers.get("x-request-id");
    await untilHolds(async () => expect((await edge(`/admin/requests/${id}`, ADMIN)).status).toBe(200));
    const text = await (await edge(`/admin/requests/${id}`, ADMIN)).text();
    expect(text).not.toContain("patient");
    expect(FailedRequest.parse(JSON.parse(text))).toMatchObject({
      requestId: id,
      code: "invalid_request",
      route: CHAT,
      key: `legacy_${keys[0]?.sha256.slice(0, 16)}`,
    });
  });

  it("keeps the agent type, the field, the model, the port and the seconds of the refusal, and no name of the client's own", async () => {
    captureLog();
    const key = `old-key-${crypto.randomUUID()}`;
    const keys = [{ name: "old", sha256: await sha256Hex(key), until: "2999-12-31" }];
    const edge = edgeOf(fleetOf({ legacy: { keys, anonymous: null } }));
    fakeFetch(
      () =>
        new Response("{}", {
          status: 503,
          headers: {
            [AGENT_HEADER]: "north",
            [CODE_HEADER]: "model_loading",
            [STARTED_HEADER]: "0",
            "retry-after": "9",
          },
        }),
    );
    const reasonOf = async (body: object): Promise<FailedRequest> => {
      const id = (await edge(CHAT, { body, key })).headers.get("x-request-id");
      await untilHolds(async () => expect((await edge(`/admin/requests/${id}`, ADMIN)).status).toBe(200));
      return FailedRequest.parse(await (await edge(`/admin/requests/${id}`, ADMIN)).json());
    };
    const image = [{ type: "image_url", image_url: { url: "data:image/png;base64,AA==" } }];
    const [undecided, unable, loading, own, free] = await Promise.all([
      reasonOf(chat({ agent_type: "Alpha", max_tokens: WORDS })),
      reasonOf(chat({ agent_type: "alpha", messages: [{ role: "user", content: image }] })),
      reasonOf(chat({ agent_type: "Alpha" })),
      reasonOf(chat({ metadata: { [WORDS]: "\ud800" } })),
      reasonOf(chat({ agent_type: WORDS })),
    ]);
    const server = { agentType: "Alpha", model: "Model-9001", port: 9001 };
    expect(undecided).toMatchObject({ param: "max_tokens", agentType: null });
    expect(unable).toMatchObject({
      code: "not_supported_by_model",
      param: "messages[0].content[0]",
      ...server,
    });
    expect(loading).toMatchObject({
      code: "model_loading",
      cause: "refused by the agent",
      retryAfterS: 9,
      ...server,
    });
    expect(own.code).toBe("invalid_request");
    expect(free).toMatchObject({ code: "model_loading", agentType: "Default" });
    expect(JSON.stringify([own, free])).not.toContain("patient");
  });

  it("explains why an id may be missing, with the floods' counts", async () => {
    captureLog();
    const count = 1_000_000_000;
    const flood = { at: Date.now(), code: "rate_limited_key", route: CHAT, key: "key-a", count };
    await fleetObject(env).noteFailures([], [flood]);
    const answer = await edgeOf(fleetOf())(`/admin/requests/req_${"0".repeat(32)}`, ADMIN);
    expect(answer.status).toBe(404);
    const { code, message } = await errorOf(answer);
    expect(code).toBe("not_found");
    expect(message).toMatch(/succeeded.*24 hours.*10000.*flood/);
    expect(message).toContain(`× rate_limited_key on ${CHAT} by key-a`);
  });

  it.each(["x", "req_1", `req_${"g".repeat(32)}`, `req_${"0".repeat(33)}`, "%20", "a%2Fb"])(
    "refuses an invalid id: %s",
    async (id) => {
      captureLog();
      const answer = await edgeOf(fleetOf())(`/admin/requests/${id}`, ADMIN);
      expect(answer.status).toBe(400);
      expect(await errorOf(answer)).toMatchObject({ code: "invalid_request", param: "id" });
    },
  );

  it.each<[string, TestRequest, number]>([
    ["without a key", { key: null }, 401],
    ["to a client", { key: "dev-key" }, 403],
  ])("is closed %s", async (_, init, status) => {
    captureLog();
    expect((await edgeOf(fleetOf())(`/admin/requests/req_${"0".repeat(32)}`, init)).status).toBe(status);
  });

  it("has an explanation for every code, and one for codes of another release", () => {
    const meanings = Object.keys(ERRORS).map(meaningOf);
    expect(new Set(meanings).size).toBe(meanings.length);
    for (const code of ["nothing", "constructor", "__proto__"]) expect(meaningOf(code)).toMatch(/another/);
  });
});
