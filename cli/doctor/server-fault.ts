// Probes one llama-server as the agent does, and names what is wrong with it.
import { probeHealth, readSlots } from "../../origin-agent/probes/llama.ts";
import { ProbeConnection } from "../../origin-agent/probes/probe-connection.ts";
import type { Server } from "../../shared/fleet.ts";
import { PROBE_TIMEOUT_MS } from "../../shared/limits.ts";

/** @returns null if it is ready, with the key and the slots that the fleet file plans */
export async function serverFault({ port, slots }: Server, key: string): Promise<string | null> {
  const connection = new ProbeConnection(`http://127.0.0.1:${port}`);
  const health = await probeHealth(connection, PROBE_TIMEOUT_MS);
  if (health !== "ok") return HEALTH[health];
  const readings = await readSlots(connection, key);
  if (readings === "wrong-key") return "refuses our key: restart it with the current llama-api-key";
  if (readings === null) return "shows no slots: it is no llama-server, or was started without --slots";
  return readings.length === slots
    ? null
    : `has ${readings.length} slots, the fleet file ${slots}: restart it`;
}

const HEALTH = {
  loading: "is loading its model",
  refused: "doesn't listen",
  timeout: "doesn't answer /health",
  other: "is answered by another program",
} as const;
