// GET /_agent/link: where the boxes' agents dial. Checks that it is one of ours, and hands its WebSocket to the
// fleet object.
import type { Context } from "hono";
import { boxToken } from "../../shared/box-token.ts";
import { TOKEN_HEADER } from "../../shared/call-headers.ts";
import { RefusedError, type Refusal } from "../../shared/errors.ts";
import { portsByBox, type FleetConfig } from "../../shared/fleet.ts";
import { isRecordName } from "../../shared/usage.ts";
import {
  fleetText,
  LINK_BOX_HEADER,
  LINK_BOXES_HEADER,
  LINK_FLEET_HEADER,
  LINK_PORTS_HEADER,
} from "../../shared/wire.ts";
import type { EdgeEnv } from "../context.ts";
import type { Settings } from "../env.ts";
import { hmacHex, isSameText, sha256Hex } from "../auth/keyed-hash.ts";
import { fleetObject } from "../stubs.ts";

export function agentLink(fleet: FleetConfig) {
  const names = fleet.boxes.map(({ name }) => name).join(",");
  const ports = JSON.stringify(portsByBox(fleet));
  let hash: string | null = null;
  return async function answerLink(c: Context<EdgeEnv>): Promise<Response> {
    if (c.req.header("upgrade")?.toLowerCase() !== "websocket") throw new RefusedError(NO_UPGRADE);
    const box = c.req.header(LINK_BOX_HEADER) ?? "";
    const token = c.req.header(TOKEN_HEADER) ?? "";
    if (!(await isTokenOf(box, token, c.var.settings))) throw new RefusedError(NO_TOKEN);
    // Only who holds the secret learns which boxes there are.
    if (!fleet.boxes.some(({ name }) => name === box)) throw new RefusedError(unknownBox(box));
    hash ??= await sha256Hex(fleetText(fleet));
    const object = fleetObject(c.env);
    const { webSocket } = await object.fetch("https://fleet/link", {
      headers: {
        upgrade: "websocket",
        [LINK_BOX_HEADER]: box,
        [LINK_FLEET_HEADER]: hash,
        [LINK_BOXES_HEADER]: names,
        [LINK_PORTS_HEADER]: ports,
      },
    });
    if (webSocket === null) throw new Error("the fleet object took no link");
    // A new answer: every answer gets headers, and the object's own can't be changed.
    return new Response(null, { status: 101, webSocket });
  };
}

/** Two secrets count while one is being rotated. Each is compared, and in constant time. */
async function isTokenOf(box: string, token: string, settings: Settings): Promise<boolean> {
  if (!isRecordName(box)) return false;
  const { boxSecret, boxSecretPrevious } = settings;
  const secrets = boxSecretPrevious === null ? [boxSecret] : [boxSecret, boxSecretPrevious];
  const matches = await Promise.all(
    secrets.map(async (secret) => isSameText(token, await boxToken(hmacHex, secret, box, "agent-to-edge"))),
  );
  return matches.includes(true);
}

const NO_UPGRADE: Refusal = {
  code: "invalid_request",
  message:
    "This address is for the boxes' agents, which dial it as a WebSocket (Upgrade: websocket). People look at GET /healthz.",
};

const NO_TOKEN: Refusal = {
  code: "invalid_key",
  message: `This link needs a box's name in ${LINK_BOX_HEADER} and its token in ${TOKEN_HEADER}. Give the box and the edge the same BOX_SECRET.`,
};

function unknownBox(box: string): Refusal {
  return {
    code: "invalid_request",
    message: `The edge's fleet file has no box "${box}". Deploy the edge with a fleet file that names it, or mend the box's name.`,
    param: LINK_BOX_HEADER,
    internal: `box ${box}`,
  };
}
