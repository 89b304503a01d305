// States what a call waits for, in the words of a stream's comments: `queued, place 3, about 4 s`.
import type { WaitsFor } from "../servers/dispatch.ts";

export function waitText(waitsFor: WaitsFor): string {
  const { aboutMs } = waitsFor;
  const about = aboutMs === null ? "" : `, about ${Math.max(1, Math.ceil(aboutMs / 1000))} s`;
  if (waitsFor.kind === "turn") return `queued, place ${waitsFor.place}${about}`;
  const { model, loading } = waitsFor;
  return loading ? `${model} is loading${about}` : `${model} is down, waiting for its restart`;
}
