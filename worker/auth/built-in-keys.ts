// The keys of the old system that the fleet file keeps alive: their ids and what they may. Nothing of them is stored.
import type { FleetConfig } from "../../shared/fleet.ts";
import { plainRecord, type KeyRecord } from "../../shared/principal.ts";

/** How their ids begin; no key of ours can have such an id, since `_` stands in none. */
export const LEGACY_PREFIX = "legacy_";

export interface LegacyKey {
  readonly keyId: string;
  readonly sha256: string;
  readonly record: KeyRecord;
}

type Limited = Pick<FleetConfig, "legacy" | "limits">;

export function legacyKeys(fleet: Limited): LegacyKey[] {
  return fleet.legacy.keys.map((line) => legacyKey(line, fleet));
}

/** The legacy key that a line of the fleet file describes. */
export function legacyKey(
  { name, sha256, agents }: FleetConfig["legacy"]["keys"][number],
  fleet: Limited,
): LegacyKey {
  return {
    keyId: `${LEGACY_PREFIX}${sha256.slice(0, 16)}`,
    sha256,
    record: plainRecord(name, fleet.limits.perKeyPerSecond, { agents }),
  };
}
