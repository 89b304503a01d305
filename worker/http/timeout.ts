// Limits the wait for work that can't be aborted: an object's answer, the rest of a body.

/** Resolves with the work's result, or with null after `ms`. Rejects if the work rejects. */
export function withTimeout<T>(work: Promise<T>, ms: number): Promise<T | null> {
  // Two promises; a race would create more for each call.
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(null), ms);
    const end = async (): Promise<void> => {
      try {
        resolve(await work);
      } catch (error) {
        reject(error);
      } finally {
        clearTimeout(timer);
      }
    };
    void end();
  });
}
