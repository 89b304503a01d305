// One line that tells what came of what the operator did; the next one takes its place.
import { signal } from "@preact/signals";

export const notice = signal("");

/** How long it stays, milliseconds: long enough to be read twice. */
const SHOWN_MS = 8_000;

let leaving: ReturnType<typeof setTimeout> | undefined;

export function tell(text: string): void {
  clearTimeout(leaving);
  notice.value = text;
  leaving = setTimeout(() => (notice.value = ""), SHOWN_MS);
}
