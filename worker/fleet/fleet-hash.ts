// Hashes the edge's own fleet file, once in an isolate: agents and operators compare theirs with it.
import type { FleetConfig } from "../../shared/fleet.ts";
import { fleetText } from "../../shared/wire.ts";
import { sha256Hex } from "../auth/keyed-hash.ts";

const hashes = new WeakMap<FleetConfig, string>();

export async function fleetHash(fleet: FleetConfig): Promise<string> {
  const hash = hashes.get(fleet) ?? (await sha256Hex(fleetText(fleet)));
  hashes.set(fleet, hash);
  return hash;
}
