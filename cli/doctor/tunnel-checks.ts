// Checks each box's tunnel from outside: it has a connection, Access protects it, and our service token passes.
import { join } from "node:path";
import { AGENT_HEADER } from "../../shared/call-headers.ts";
import type { Box, FleetConfig } from "../../shared/fleet.ts";
import { explainUnreachable } from "../api/unreachable.ts";
import { objectOf } from "../json-object.ts";
import { SECRET_FILES } from "../secrets/secret-files.ts";
import { fine, skipped, unknown, wrong, type Check, type Outcome, type Surroundings } from "./check.ts";

const ACCESS_FIX =
  "Create an Access application for this host with a Service Auth policy (docs/deploy.md, step Access).";

export function tunnelChecks({ boxes }: FleetConfig): Check[] {
  return boxes.flatMap((box) => [
    { name: `tunnel-${box.name}`, run: (around, signal) => checkTunnel(box, around, signal) },
    { name: `access-token-${box.name}`, run: (around, signal) => checkToken(box, around, signal) },
  ]);
}

async function checkTunnel(box: Box, { machine }: Surroundings, signal: AbortSignal): Promise<Outcome> {
  if (!box.origin.startsWith("https:")) return skipped(`${box.origin} is no tunnel`);
  try {
    const { status, headers } = await machine.fetch(`${box.origin}/healthz`, {}, signal);
    if (headers.get(AGENT_HEADER) !== null) {
      return wrong(
        `${box.origin} reaches the agent without Access: one static token protects it`,
        ACCESS_FIX,
      );
    }
    if (status === 530) {
      return wrong(
        `the tunnel of ${box.origin} has no connection`,
        `On ${box.name}: sudo systemctl restart cloudflared`,
      );
    }
    if (isAccess(status, headers)) return fine(`${box.origin} is protected by Access`);
    return wrong(
      `${box.origin} answers ${status}, neither Access nor the agent`,
      `On ${box.name}: isha doctor --box ${box.name}`,
    );
  } catch (error) {
    const { message } = explainUnreachable(error, box.origin, 0);
    return wrong(message, `cloudflared tunnel route dns <tunnel> ${new URL(box.origin).hostname}`);
  }
}

function isAccess(status: number, headers: Headers): boolean {
  const location = headers.get("location") ?? "";
  return status === 401 || status === 403 || location.includes("cloudflareaccess.com");
}

async function checkToken(box: Box, around: Surroundings, signal: AbortSignal): Promise<Outcome> {
  if (!box.origin.startsWith("https:")) return skipped(`${box.origin} is no tunnel`);
  const token = await serviceToken(around);
  if (token === null) {
    return unknown(
      "there is no Access service token here",
      "Set ACCESS_CLIENT_ID and ACCESS_CLIENT_SECRET and run isha secrets init.",
    );
  }
  const headers = { "CF-Access-Client-Id": token.id, "CF-Access-Client-Secret": token.secret };
  const { status, headers: answered } = await around.machine.fetch(
    `${box.origin}/healthz`,
    { headers },
    signal,
  );
  const agent = answered.get(AGENT_HEADER);
  if (agent === box.name) return fine(`reaches the agent of ${box.name}`);
  if (agent !== null)
    return wrong(
      `${box.origin} reaches the agent of ${agent}`,
      "Correct the hostname's ingress in cloudflared's configuration.",
    );
  if (status === 530) return unknown("the tunnel has no connection", `See the check tunnel-${box.name}.`);
  return wrong(
    `Access answers ${status}: the service token isn't allowed`,
    "Add it to the application's Service Auth policy, or rotate it.",
  );
}

/** From the environment, else from the Worker's secrets on this machine. */
async function serviceToken({
  machine,
  secretFolder,
}: Surroundings): Promise<{ id: string; secret: string } | null> {
  const stored = objectOf((await machine.read(join(secretFolder, SECRET_FILES.worker))) ?? "") ?? {};
  const value = (name: string): string | null => {
    const found = machine.env[name] ?? stored[name];
    return typeof found === "string" && found !== "" ? found : null;
  };
  const [id, secret] = [value("ACCESS_CLIENT_ID"), value("ACCESS_CLIENT_SECRET")];
  return id === null || secret === null ? null : { id, secret };
}
