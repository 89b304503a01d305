// Formats the fleet-file hashes of this machine, the edge and the boxes: one line if they agree, else a line for each
// and what to do. Pure.
import type { FleetView } from "../../shared/fleet-view.ts";
import { plain } from "./safe-text.ts";

/** As many digits as tell files apart at a glance. */
const SHOWN = 12;

interface Holder {
  readonly name: string;
  /** Null if unknown. */
  readonly hash: string | null;
}

/** @param local the hash of this machine's fleet file; null if it has no valid one */
export function hashesText({ fleetHash, boxes }: FleetView, local: string | null): string {
  const edge = fleetHash ?? null;
  const holders: Holder[] = [
    { name: "this machine", hash: local },
    { name: "edge", hash: edge },
    ...boxes.map((box) => ({ name: box.name, hash: box.fleetHash ?? null })),
  ];
  const known = new Set(holders.flatMap(({ hash }) => (hash === null ? [] : [hash])));
  const missing = holders.filter(({ hash }) => hash === null).map(({ name }) => name);
  const width = Math.max(...holders.map(({ name }) => plain(name).length));
  if (known.size > 1) {
    const lines = holders.map(({ name, hash }) => `  ${plain(name).padEnd(width)}  ${shown(hash)}\n`);
    return `The fleet files differ:\n${lines.join("")}Deploy one fleet file to the boxes' agents, then to the edge (npm run deploy).\n`;
  }
  const [hash = null] = known;
  if (missing.length === 0)
    return `Fleet file ${shown(hash)}: the same here, at the edge and on every box.\n`;
  return `Fleet file ${shown(hash)}; unknown for ${plain(missing.join(", "))}.\n`;
}

const shown = (hash: string | null): string => (hash === null ? "unknown" : plain(hash.slice(0, SHOWN)));
