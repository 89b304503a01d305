// Words for looks at a server's slots, short enough to be read in a row.
import type { SlotRequest } from "../../../origin-agent/slots/slot-lease.ts";
import type { SlotReading } from "../../../origin-agent/probes/llama.ts";
import type { ServerSlots } from "../../../origin-agent/slots/slots.ts";

export type Seen = Pick<SlotReading, "busy" | "task"> & Partial<SlotReading>;

/** A reading without counts. */
export const reading = (id: number, seen: Seen): SlotReading => ({
  decoded: null,
  tokens: null,
  promptProcessed: null,
  ...seen,
  id,
});

export const idle = (task: number | null = null): Seen => ({ busy: false, task });
export const busy = (task: number): Seen => ({ busy: true, task });
export const look = (...slots: readonly Seen[]): SlotReading[] => slots.map((slot, id) => reading(id, slot));

/** A look whose answer is there as soon as it is asked for. */
export function observe(
  slots: ServerSlots,
  at: number,
  ...seen: readonly Seen[]
): ReturnType<ServerSlots["observe"]> {
  return slots.observe(look(...seen), at, at);
}

export const call = (scope: string | null = null, more: Partial<SlotRequest> = {}): SlotRequest => ({
  scope,
  choices: 1,
  pinned: true,
  ...more,
});
