// The link is only for agents of this fleet's boxes that have the secret.
import { env } from "cloudflare:workers";
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { boxToken } from "../../../shared/box-token.ts";
import { fleetObject } from "../../../worker/stubs.ts";
import { fleetText, LINK_PATH } from "../../../shared/wire.ts";
import { hmacHex, sha256Hex } from "../../../worker/auth/keyed-hash.ts";
import { agentOn, hello } from "../support/agents.ts";
import { BOX_SECRET, captureLog, edgeOf, errorOf, type TestRequest } from "../support/edge.ts";
import { box, fleetOf, server } from "../support/fleets.ts";
import { untilHolds } from "../support/until.ts";

const PREVIOUS_SECRET = "the secret before this one";
const BOX = `box-${crypto.randomUUID()}`;
const FLEET = fleetOf({ boxes: [box(BOX, [server(9000), server(9001, { agents: ["Alpha"] })])] });

async function dialRequest(
  more: Readonly<Record<string, string | undefined>> = {},
  secret = BOX_SECRET,
  as = BOX,
): Promise<TestRequest> {
  const token = await boxToken(hmacHex, secret, as, "agent-to-edge");
  const headers = { upgrade: "websocket", "x-isha-box": as, "x-isha-token": token, ...more };
  const given = Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return { key: null, headers: Object.fromEntries(given) };
}

describe("a link", () => {
  it.each([
    ["the secret", BOX_SECRET],
    ["the previous secret, while both are valid", PREVIOUS_SECRET],
  ])("is given to a box with a token of %s, and its fleet file is compared", async (_, secret) => {
    const edge = edgeOf(FLEET, { bindings: { BOX_SECRET_PREVIOUS: PREVIOUS_SECRET } });
    const answer = await edge(LINK_PATH, await dialRequest({}, secret));
    expect(answer.status).toBe(101);
    expect(answer.headers.get("x-request-id")).toMatch(/^req_/);
    if (answer.webSocket === null) throw new Error("no link");
    const agent = agentOn(answer.webSocket);
    const epoch = crypto.randomUUID();
    agent.send(hello({ box: BOX, epoch, fleetHash: await sha256Hex(fleetText(FLEET)) }));
    await untilHolds(async () => {
      const boxes = await fleetObject(env).boxes();
      const found = boxes.find((each) => each.box === BOX)?.agents.find((each) => each.epoch === epoch);
      expect(found).toMatchObject({ warning: null });
    });
    // From now on the boxes of the fleet file are expected.
    const expected = await runInDurableObject(fleetObject(env), (_, { storage }) =>
      storage.sql.exec<{ state: string }>("SELECT state FROM alarms WHERE name = 'expected'").one(),
    );
    expect(JSON.parse(expected.state)).toEqual([BOX]);
  });

  it.each<[string, () => Promise<TestRequest>, number, string, RegExp]>([
    ["a plain GET", async () => dialRequest({ upgrade: undefined }), 400, "invalid_request", /WebSocket/],
    ["another upgrade", async () => dialRequest({ upgrade: "h2c" }), 400, "invalid_request", /WebSocket/],
    ["no token", async () => dialRequest({ "x-isha-token": undefined }), 401, "invalid_key", /BOX_SECRET/],
    ["an empty token", async () => dialRequest({ "x-isha-token": "" }), 401, "invalid_key", /BOX_SECRET/],
    [
      "half a token",
      async () => dialRequest({ "x-isha-token": "a".repeat(32) }),
      401,
      "invalid_key",
      /BOX_SECRET/,
    ],
    ["no box", async () => dialRequest({ "x-isha-box": undefined }), 401, "invalid_key", /BOX_SECRET/],
    [
      "an invalid box name",
      async () => dialRequest({ "x-isha-box": "a b" }),
      401,
      "invalid_key",
      /BOX_SECRET/,
    ],
    [
      "another box's token",
      async () => dialRequest({ "x-isha-box": "south" }),
      401,
      "invalid_key",
      /BOX_SECRET/,
    ],
    [
      "a token of another secret",
      async () => dialRequest({}, "some other secret"),
      401,
      "invalid_key",
      /BOX_SECRET/,
    ],
    [
      "the previous secret, once it is no longer valid",
      async () => dialRequest({}, PREVIOUS_SECRET),
      401,
      "invalid_key",
      /BOX_SECRET/,
    ],
    [
      "a box that the fleet file doesn't have",
      async () => dialRequest({}, BOX_SECRET, "south"),
      400,
      "invalid_request",
      /no box "south"/,
    ],
  ])("is refused to %s", async (_, request, status, code, text) => {
    captureLog();
    const answer = await edgeOf(FLEET)(LINK_PATH, await request());
    expect(answer.status).toBe(status);
    expect(answer.webSocket).toBeNull();
    const error = await errorOf(answer);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(text);
  });

  it("is refused to the token for the other direction", async () => {
    captureLog();
    const token = await boxToken(hmacHex, BOX_SECRET, BOX, "edge-to-agent");
    expect((await edgeOf(FLEET)(LINK_PATH, await dialRequest({ "x-isha-token": token }))).status).toBe(401);
  });

  it("counts against its address limit like any other route", async () => {
    captureLog();
    const edge = edgeOf({ ...FLEET, limits: { perAddressPerSecond: 1, perKeyPerSecond: 1000 } });
    const answers = await Promise.all(
      Array.from({ length: 40 }, async () => edge(LINK_PATH, await dialRequest({ "x-isha-token": "" }))),
    );
    expect(answers.map(({ status }) => status)).toContain(429);
  });
});
