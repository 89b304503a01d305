// Removes the jitter of pauses and of `Retry-After` until the test has ended, so that a test can state them exactly.
import { onTestFinished, vi } from "vitest";

export function noJitter(): void {
  const random = vi.spyOn(Math, "random").mockReturnValue(0);
  onTestFinished(() => random.mockRestore());
}
