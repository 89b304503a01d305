// Calls a limiter object: at most twice, within LIMITER_TIMEOUT_MS in total (design.md, 8).
import { LIMITER_TIMEOUT_MS } from "../../shared/limits.ts";
import { withTimeout } from "../http/timeout.ts";

/**
 * @param attempt makes a stub of its own, because a broken one can stay broken; resolves with null if the answer came
 * too late to be used
 * @returns null if no attempt brought a usable answer in time
 */
export async function callObject<T>(attempt: () => Promise<T | null>): Promise<T | null> {
  try {
    return await withTimeout(upToTwice(attempt), LIMITER_TIMEOUT_MS);
  } catch {
    return null;
  }
}

async function upToTwice<T>(attempt: () => Promise<T | null>): Promise<T | null> {
  try {
    const result = await attempt();
    if (result !== null) return result;
  } catch (error) {
    if (isOverloaded(error)) throw error;
  }
  return attempt();
}

/** The platform's mark on an error of an object that has too much to do: a second call would make it worse. */
function isOverloaded(error: unknown): boolean {
  return error instanceof Error && "overloaded" in error && error.overloaded === true;
}
