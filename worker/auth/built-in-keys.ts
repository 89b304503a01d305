// Keys of the old system that the fleet file keeps valid: their ids and records. No object stores anything of them.
import type { FleetConfig } from "../../shared/fleet.ts";
import { plainRecord, type KeyRecord } from "../../shared/principal.ts";

/** Prefix of their ids. No other key can have such an id: the ids that the service creates contain no `_`. */
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
