// Who asks, as the limits see it, and what the platform gives to find out.
import type { Bindings } from "../env.ts";

export interface Caller {
  readonly bindings: Bindings;
  /** The name its address is counted under. */
  readonly address: string;
  readonly requestId: string;
  /** A call to the models: what a key's month has left counts for these alone. */
  readonly calls: boolean;
  /** What is asked ahead runs on beside the answer. */
  readonly context: Pick<ExecutionContext, "waitUntil">;
}
