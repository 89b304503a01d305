// Waits for an expectation, as test/support/until.ts waits for a value. vi.waitFor would advance the stopped clock of a
// test at each poll.
import { until } from "../../support/until.ts";

/** Waits until an expectation holds. */
export async function untilHolds(expectation: () => void | Promise<void>): Promise<void> {
  await until(async () => {
    await expectation();
    return true;
  }, String(expectation));
}
