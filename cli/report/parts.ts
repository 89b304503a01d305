// Reduces what a report contains to what a bug needs: the fleet file without hashes and tunnels, the agent's own log lines
// with plain fields alone. Pure.
import type { FleetConfig } from "../../shared/fleet.ts";

const REDACTED = "(redacted)";

export function redactedFleet(fleet: FleetConfig): object {
  return {
    ...fleet,
    legacy: {
      ...fleet.legacy,
      keys: fleet.legacy.keys.map((key) => ({ ...key, sha256: REDACTED })),
    },
    boxes: fleet.boxes.map((box) => (box.tunnel === undefined ? box : { ...box, tunnel: REDACTED })),
  };
}

/** Longer texts are no field of the agent's log. */
const MAX_TEXT = 300;

export interface LogPart {
  /** Oldest first. */
  readonly lines: readonly object[];
  /** Lines that the agent's logger didn't write, such as a crash's: they are left out unread. */
  readonly leftOut: number;
}

/** @param text the end of the log; its first line may be cut */
export function agentLogPart(text: string, maxLines: number): LogPart {
  const all = text.split("\n").filter((line) => line.trim() !== "");
  const lines = all.slice(-maxLines);
  const parsed = lines.flatMap((line) => {
    const entry = entryOf(line);
    return entry === null ? [] : [entry];
  });
  return { lines: parsed, leftOut: lines.length - parsed.length };
}

function entryOf(line: string): object | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || !("event" in value)) return null;
  return Object.fromEntries(Object.entries(value).filter(([, field]) => isPlain(field)));
}

function isPlain(field: unknown): boolean {
  if (typeof field === "string") return field.length <= MAX_TEXT;
  return field === null || typeof field === "number" || typeof field === "boolean";
}
