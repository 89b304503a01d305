// One line with the result of the operator's last action.
import { signal } from "@preact/signals";

export const notice = signal("");

/** Long enough to be read twice. */
const SHOWN_MS = 8_000;

let timer: ReturnType<typeof setTimeout> | undefined;

export function showNotice(text: string): void {
  clearTimeout(timer);
  notice.value = text;
  timer = setTimeout(() => (notice.value = ""), SHOWN_MS);
}
