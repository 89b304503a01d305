// Cuts bytes into pieces of random lengths, as a network does.
import type { SeededRandom } from "../../support/seeded-random.ts";

export function cut(random: SeededRandom, bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + random.below(random.pick([2, 60, 900]));
    pieces.push(bytes.subarray(at, end));
    at = end;
  }
  return pieces;
}
