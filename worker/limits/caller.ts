// A request as the limits see it, with what the platform provides to check it.
import type { Bindings } from "../env.ts";

export interface Caller {
  readonly bindings: Bindings;
  /** The name that the client's address is counted under. */
  readonly address: string;
  readonly requestId: string;
  /** Whether it is a call to a model: only those are refused when a key's month is used up. */
  readonly isModelCall: boolean;
  /** Lease requests that nothing waits for run on after the answer. */
  readonly context: Pick<ExecutionContext, "waitUntil">;
}
