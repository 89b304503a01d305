// Asks a llama-server how it is. `/health` needs no key and is answered beside generation.
import { request } from "undici";
import { PROBE_TIMEOUT_MS } from "../../shared/limits.ts";
import type { ServerState } from "../../shared/health.ts";

/**
 * One look at `/health`: 200 is ready, 503 is loading (transcripts `health-ready`, `health-loading`);
 * anything else, silence for a second among it, is down.
 * @param origin `http://127.0.0.1:8085`
 */
export async function probeState(origin: string): Promise<ServerState> {
  try {
    const { statusCode, body } = await request(`${origin}/health`, {
      signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
      reset: true,
    });
    await body.dump();
    if (statusCode === 200) return "ready";
    return statusCode === 503 ? "loading" : "down";
  } catch {
    return "down";
  }
}
