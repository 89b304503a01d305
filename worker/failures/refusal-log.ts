// Logs an isolate's refused and failed requests and sends them to the fleet object for `isha why`: those of known keys,
// and the edge's own failures. Requests without a known key (scanners, invalid keys) are only counted: a flood of them
// reaches no object, costs no rows, and is one line a minute.
import { ERRORS, type ErrorCode } from "../../shared/errors.ts";
import type { Failure } from "../../shared/failures.ts";
import { ANONYMOUS } from "../../shared/keys.ts";
import type { Bindings } from "../env.ts";
import { writeLine } from "../log.ts";
import { fleetObject } from "../stubs.ts";
import { FailureSampler } from "./sampling.ts";

/** Limits of one flush. It is its own sampling period. */
export const FLUSH_LIMITS = { perKind: 10, perBatch: 100, kinds: 100 } as const;

/** From the first failure to the flush: a flood of thousands per second costs one call per second. */
const FLUSH_AFTER_MS = 1_000;

/** A flush that hasn't ended by now was cut off together with the request it ran in. */
const FLUSH_LOST_MS = 10_000;

const COUNTS_EVERY_MS = 60_000;

/** The part of a request's context that is needed; Hono's context has it. */
export interface RequestContext {
  readonly env: Pick<Bindings, "FLEET">;
  readonly executionCtx: { waitUntil(work: Promise<unknown>): void };
}

export type Refused = Omit<Failure, "at">;

export class RefusalLog {
  readonly #clock: () => number;
  readonly #sampler = new FailureSampler(FLUSH_LIMITS);
  #flushStartedAt: number | null = null;
  /** Requests by code that got no line of their own since `#countedFrom`. */
  readonly #counts = new Map<string, number>();
  #countedFrom = 0;

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** Called once for every refused or failed request. Never throws: an answer waits for it. */
  note(context: RequestContext, refused: Refused): void {
    const { requestId, code, route, key, cause } = refused;
    const at = this.#clock();
    if (!isKept(code, key)) return this.#count(code, at);
    if (this.#sampler.add({ ...refused, at }))
      writeLine({ event: "refused", request_id: requestId, code, route, key, cause });
    else this.#count(code, at);
    this.#scheduleFlush(context, at);
  }

  /** The line of a minute is written with the first count after it. */
  #count(code: string, now: number): void {
    if (Math.abs(now - this.#countedFrom) >= COUNTS_EVERY_MS) {
      const since = new Date(this.#countedFrom).toISOString();
      if (this.#counts.size > 0)
        writeLine({ event: "refused_counts", since, counts: Object.fromEntries(this.#counts) });
      this.#counts.clear();
      this.#countedFrom = now;
    }
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1);
  }

  #scheduleFlush(context: RequestContext, now: number): void {
    const elapsedMs = this.#flushStartedAt === null ? FLUSH_LOST_MS : now - this.#flushStartedAt;
    if (elapsedMs >= 0 && elapsedMs < FLUSH_LOST_MS) return;
    this.#flushStartedAt = now;
    try {
      context.executionCtx.waitUntil(this.#flush(context.env));
    } catch {
      // This request has no execution context: the next one sends the buffer.
      this.#flushStartedAt = null;
    }
  }

  /** Failures that don't arrive are lost: their log line exists already, so they are never sent again. */
  async #flush(env: RequestContext["env"]): Promise<void> {
    await new Promise((resolve) => void setTimeout(resolve, FLUSH_AFTER_MS));
    this.#flushStartedAt = null;
    const { failures, floods } = this.#sampler.take();
    this.#sampler.startPeriod();
    try {
      await fleetObject(env).noteFailures(failures, floods);
    } catch {
      // The object is restarting or unreachable.
    }
  }
}

/** Those of known keys, and our own failures. A code of another release counts as ours. */
function isKept(code: string, key: string | null): boolean {
  const isOurs = !Object.hasOwn(ERRORS, code) || ERRORS[code as ErrorCode].status >= 500;
  return isOurs || (key !== null && key !== ANONYMOUS);
}
