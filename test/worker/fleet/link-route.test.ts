// Who gets a link: an agent of a box of this fleet that holds the secret, and nobody else.
import { env } from "cloudflare:workers";
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { boxToken } from "../../../shared/box-token.ts";
import { fleetObject } from "../../../worker/stubs.ts";
import { fleetText, LINK_PATH } from "../../../shared/wire.ts";
import { hmacHex, sha256Hex } from "../../../worker/auth/keyed-hash.ts";
import { agentOn, hello } from "../support/agents.ts";
import { BOX_SECRET, captureLog, edgeOf, errorOf, type Asking } from "../support/edge.ts";
import { box, fleetOf, server } from "../support/fleets.ts";
import { untilHolds } from "../support/until.ts";

const SECRET_BEFORE = "the secret before this one";
const BOX = `box-${crypto.randomUUID()}`;
const FLEET = fleetOf({ boxes: [box(BOX, [server(9000), server(9001, { agents: ["Alpha"] })])] });

async function dialling(
  more: Readonly<Record<string, string | undefined>> = {},
  secret = BOX_SECRET,
  as = BOX,
): Promise<Asking> {
  const token = await boxToken(hmacHex, secret, as, "agent-to-edge");
  const headers = { upgrade: "websocket", "x-isha-box": as, "x-isha-token": token, ...more };
  const given = Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return { key: null, headers: Object.fromEntries(given) };
}

describe("a link", () => {
  it.each([
    ["the secret", BOX_SECRET],
    ["the secret before it, while both count", SECRET_BEFORE],
  ])("is given to a box with a token of %s, and its fleet file compared", async (_, secret) => {
    const edge = edgeOf(FLEET, { bindings: { BOX_SECRET_PREVIOUS: SECRET_BEFORE } });
    const answer = await edge(LINK_PATH, await dialling({}, secret));
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
    // The boxes of the fleet file are missed from now on.
    const expected = await runInDurableObject(fleetObject(env), (_, { storage }) =>
      storage.sql.exec<{ state: string }>("SELECT state FROM alarms WHERE name = 'expected'").one(),
    );
    expect(JSON.parse(expected.state)).toEqual([BOX]);
  });

  it.each<[string, () => Promise<Asking>, number, string, RegExp]>([
    ["a plain GET", async () => dialling({ upgrade: undefined }), 400, "invalid_request", /WebSocket/],
    ["another upgrade", async () => dialling({ upgrade: "h2c" }), 400, "invalid_request", /WebSocket/],
    ["no token", async () => dialling({ "x-isha-token": undefined }), 401, "invalid_key", /BOX_SECRET/],
    ["an empty token", async () => dialling({ "x-isha-token": "" }), 401, "invalid_key", /BOX_SECRET/],
    [
      "half a token",
      async () => dialling({ "x-isha-token": "a".repeat(32) }),
      401,
      "invalid_key",
      /BOX_SECRET/,
    ],
    ["no box", async () => dialling({ "x-isha-box": undefined }), 401, "invalid_key", /BOX_SECRET/],
    [
      "a box's name that is none",
      async () => dialling({ "x-isha-box": "a b" }),
      401,
      "invalid_key",
      /BOX_SECRET/,
    ],
    [
      "another box's token",
      async () => dialling({ "x-isha-box": "south" }),
      401,
      "invalid_key",
      /BOX_SECRET/,
    ],
    [
      "a token of another secret",
      async () => dialling({}, "some other secret"),
      401,
      "invalid_key",
      /BOX_SECRET/,
    ],
    [
      "the secret before this one, once it doesn't count",
      async () => dialling({}, SECRET_BEFORE),
      401,
      "invalid_key",
      /BOX_SECRET/,
    ],
    [
      "a box that the fleet file doesn't name",
      async () => dialling({}, BOX_SECRET, "south"),
      400,
      "invalid_request",
      /no box "south"/,
    ],
  ])("is refused to %s", async (_, asking, status, code, words) => {
    captureLog();
    const answer = await edgeOf(FLEET)(LINK_PATH, await asking());
    expect(answer.status).toBe(status);
    expect(answer.webSocket).toBeNull();
    const error = await errorOf(answer);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(words);
  });

  it("is refused to the token for the other direction", async () => {
    captureLog();
    const token = await boxToken(hmacHex, BOX_SECRET, BOX, "edge-to-agent");
    expect((await edgeOf(FLEET)(LINK_PATH, await dialling({ "x-isha-token": token }))).status).toBe(401);
  });

  it("counts against its address like any other route", async () => {
    captureLog();
    const edge = edgeOf({ ...FLEET, limits: { perAddressPerSecond: 1, perKeyPerSecond: 1000 } });
    const asked = await Promise.all(
      Array.from({ length: 40 }, async () => edge(LINK_PATH, await dialling({ "x-isha-token": "" }))),
    );
    expect(asked.map(({ status }) => status)).toContain(429);
  });
});
