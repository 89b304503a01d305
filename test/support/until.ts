// Waits for a condition. No test asserts how fast the condition comes: `npm run bench` measures speed.
const POLL_MS = 10;

/** The real one: a test may replace it. */
const { setTimeout } = globalThis;

/** Far beyond what any condition takes on a starved machine, so that only a hang reaches it. */
export const WAIT_MS = 120_000;

/**
 * Polls `check` until it returns something other than `false`, `null` or `undefined`, and returns that.
 * A `check` that throws counts as not yet true; its last error is the cause of the final one.
 * @param what named in the error if the condition never comes; by default the source of `check`
 */
export async function until<T>(
  check: () => T | Promise<T>,
  what: string = String(check),
): Promise<Exclude<T, false | null | undefined>> {
  const deadline = performance.now() + WAIT_MS;
  for (;;) {
    let lastError: unknown;
    try {
      const found = await check();
      if (found !== false && found !== null && found !== undefined) {
        return found as Exclude<T, false | null | undefined>;
      }
    } catch (error) {
      lastError = error;
    }
    if (performance.now() > deadline) throw new Error(`never came: ${what}`, { cause: lastError });
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
