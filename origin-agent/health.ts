// Which of the box's servers can take a call, as asked of them a moment ago. Several who ask at once share
// one look; the answer is given again for a second.
import type { BoxHealth } from "../shared/health.ts";
import { probeState } from "./probes/llama.ts";
import type { Upstream } from "./upstreams.ts";

/** How long a look counts, milliseconds. */
const FRESH_MS = 1_000;

/** @param clock monotonic, milliseconds. */
export function boxHealth(
  box: string,
  version: string,
  upstreams: ReadonlyMap<number, Upstream>,
  clock: () => number,
): () => Promise<BoxHealth> {
  let last: { readonly at: number; readonly look: Promise<BoxHealth> } | null = null;

  async function look(): Promise<BoxHealth> {
    const servers = await Promise.all(
      [...upstreams.values()].map(async ({ server, origin }) => ({
        port: server.port,
        model: server.model,
        state: await probeState(origin),
      })),
    );
    return { box, version, servers };
  }

  return function health() {
    const now = clock();
    if (last === null || now - last.at >= FRESH_MS) last = { at: now, look: look() };
    return last.look;
  };
}
