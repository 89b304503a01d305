// One question to a limiter object: asked once more where it failed, never past the time-out.
import { LIMITER_TIMEOUT_MS } from "../../shared/limits.ts";
import { withTimeout } from "../http/timeout.ts";

/**
 * @param call makes its own stub: one that broke can stay broken
 * @returns null where no answer came
 */
export async function askObject<T>(call: () => Promise<T>): Promise<T | null> {
  try {
    return await withTimeout(call().catch(once(call)), LIMITER_TIMEOUT_MS);
  } catch {
    return null;
  }
}

function once<T>(call: () => Promise<T>): (error: unknown) => Promise<T> {
  return async (error) => {
    if (isOverloaded(error)) throw error;
    return call();
  };
}

/** The platform's word that an object has more to do than it can: asking again would make it worse. */
function isOverloaded(error: unknown): boolean {
  return error instanceof Error && "overloaded" in error && error.overloaded === true;
}
