// Tracks whether the page is as narrow as a phone's, where it shows less at once. The styles use the same width.
import { signal } from "@preact/signals";

const query = matchMedia("(max-width: 52rem)");

export const narrow = signal(query.matches);

export function followWidth(): void {
  query.addEventListener("change", ({ matches }) => (narrow.value = matches));
}
