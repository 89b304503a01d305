// GET /_agent/link: the WebSocket that the boxes' agents dial. Checks the box's token and passes the socket to the
// fleet object.
import type { Context } from "hono";
import { boxToken } from "../../shared/box-token.ts";
import { TOKEN_HEADER } from "../../shared/call-headers.ts";
import { RefusedError, type Refusal } from "../../shared/errors.ts";
import { portsByBox, processesByBox, type FleetConfig } from "../../shared/fleet.ts";
import { isRecordName } from "../../shared/usage.ts";
import {
  LINK_BOX_HEADER,
  LINK_BOXES_HEADER,
  LINK_FLEET_HEADER,
  LINK_PORTS_HEADER,
  LINK_PROCESSES_HEADER,
} from "../../shared/wire.ts";
import type { EdgeEnv } from "../context.ts";
import type { Settings } from "../env.ts";
import { hmacHex, isSameText } from "../auth/keyed-hash.ts";
import { fleetHash } from "./fleet-hash.ts";
import { fleetObject } from "../stubs.ts";

export function agentLink(fleet: FleetConfig) {
  const names = fleet.boxes.map(({ name }) => name).join(",");
  const ports = JSON.stringify(portsByBox(fleet));
  const processes = JSON.stringify(processesByBox(fleet));
  return async function answerLink(c: Context<EdgeEnv>): Promise<Response> {
    if (c.req.header("upgrade")?.toLowerCase() !== "websocket") throw new RefusedError(NO_UPGRADE);
    const box = c.req.header(LINK_BOX_HEADER) ?? "";
    const token = c.req.header(TOKEN_HEADER) ?? "";
    if (!(await isTokenOf(box, token, c.var.settings))) throw new RefusedError(NO_TOKEN);
    // Checked after the token, so that only holders of the secret learn which boxes exist.
    if (!fleet.boxes.some(({ name }) => name === box)) throw new RefusedError(unknownBox(box));
    const object = fleetObject(c.env);
    const { webSocket } = await object.fetch("https://fleet/link", {
      headers: {
        upgrade: "websocket",
        [LINK_BOX_HEADER]: box,
        [LINK_FLEET_HEADER]: await fleetHash(fleet),
        [LINK_BOXES_HEADER]: names,
        [LINK_PORTS_HEADER]: ports,
        [LINK_PROCESSES_HEADER]: processes,
      },
    });
    if (webSocket === null) throw new Error("the fleet object accepted no WebSocket");
    // A new response: middleware adds headers, and the object's own response is immutable.
    return new Response(null, { status: 101, webSocket });
  };
}

/** Two secrets are valid during a rotation. Both are always compared, in constant time. */
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
    "This route is only for the boxes' agents, which dial it as a WebSocket (Upgrade: websocket). For the service's health see GET /healthz.",
};

const NO_TOKEN: Refusal = {
  code: "invalid_key",
  message: `The link needs the box's name in ${LINK_BOX_HEADER} and its token in ${TOKEN_HEADER}. Set the same BOX_SECRET on the box and the edge.`,
};

function unknownBox(box: string): Refusal {
  return {
    code: "invalid_request",
    message: `The edge's fleet file has no box "${box}". Deploy the edge with a fleet file that has it, or fix the box's name.`,
    param: LINK_BOX_HEADER,
    internal: `box ${box}`,
  };
}
