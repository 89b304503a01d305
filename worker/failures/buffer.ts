// Buffers an isolate's refused and failed calls and sends them to the fleet object once a second, for `isha why`.
// Failures that don't arrive are lost: their log line exists already, so they are never sent again.
import type { Failure } from "../../shared/failures.ts";
import type { Bindings } from "../env.ts";
import { fleetObject } from "../stubs.ts";
import { FailureSampler } from "./sampling.ts";

/** Limits of one flush. It is its own sampling period. */
export const FLUSH_LIMITS = { perKind: 10, perBatch: 100, kinds: 100 } as const;

/** From the first failure to the flush: a flood of thousands per second costs one call per second. */
const FLUSH_AFTER_MS = 1_000;

/** A flush that hasn't ended by now was cut off together with the request it ran in. */
const FLUSH_LOST_MS = 10_000;

/** The part of a request's context that is needed; Hono's context has it. */
export interface RequestContext {
  readonly env: Pick<Bindings, "FLEET">;
  readonly executionCtx: { waitUntil(work: Promise<unknown>): void };
}

const sampler = new FailureSampler(FLUSH_LIMITS);
let flushStartedAt: number | null = null;

/** Never throws: an answer waits for it. */
export function noteFailure(context: RequestContext, failure: Failure): void {
  sampler.add(failure);
  const elapsedMs = flushStartedAt === null ? FLUSH_LOST_MS : failure.at - flushStartedAt;
  if (elapsedMs >= 0 && elapsedMs < FLUSH_LOST_MS) return;
  flushStartedAt = failure.at;
  try {
    context.executionCtx.waitUntil(flush(context.env));
  } catch {
    // This request has no execution context: the next one sends the buffer.
    flushStartedAt = null;
  }
}

async function flush({ FLEET }: RequestContext["env"]): Promise<void> {
  await new Promise((resolve) => void setTimeout(resolve, FLUSH_AFTER_MS));
  flushStartedAt = null;
  const { failures, floods } = sampler.take();
  sampler.startPeriod();
  try {
    await fleetObject({ FLEET }).noteFailures(failures, floods);
  } catch {
    // The object is restarting or unreachable.
  }
}
