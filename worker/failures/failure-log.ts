// Refused and failed calls on their way to the fleet object, for `isha why`. An isolate keeps them for a second and
// sends them together, within a request's own time; what doesn't arrive is lost, since its log line stands.
import type { Failure, FailureFlood } from "../../shared/failures.ts";
import type { Bindings } from "../env.ts";
import { fleetObject } from "../stubs.ts";

/** Failures sent one by one in a flush, and of one code, route and key; more are sent as counts. */
const SINGLES = 100;
const SINGLES_OF_A_KIND = 10;

/** Kinds counted apart in a flush; beyond them a code is counted without its route and key. */
const KINDS = 100;

/** From the first failure until it is sent: a flood of thousands a second costs one call a second. */
const FLUSH_AFTER_MS = 1_000;

/** A flush that hasn't ended by now was cut off with the request it belonged to. */
const FLUSH_LOST_MS = 10_000;

/** The failures of one flush: bounded, however many come. */
export class FailureBuffer {
  #singles: Failure[] = [];
  readonly #ofKind = new Map<string, number>();
  readonly #floods = new Map<string, FailureFlood>();

  note(failure: Failure): void {
    const kind = kindOf(failure);
    const seen = this.#ofKind.get(kind) ?? 0;
    const isKept = seen < SINGLES_OF_A_KIND && this.#singles.length < SINGLES;
    if (!isKept) return this.#count(failure);
    this.#ofKind.set(kind, seen + 1);
    this.#singles.push(failure);
  }

  /** What came since the last time. */
  take(): { readonly failures: readonly Failure[]; readonly floods: readonly FailureFlood[] } {
    const taken = { failures: this.#singles, floods: [...this.#floods.values()] };
    this.#singles = [];
    this.#ofKind.clear();
    this.#floods.clear();
    return taken;
  }

  #count({ at, code, route, key }: Failure): void {
    const isKnown = this.#floods.has(kindOf({ code, route, key }));
    const kind =
      isKnown || this.#floods.size < KINDS ? { code, route, key } : { code, route: "*", key: null };
    const count = (this.#floods.get(kindOf(kind))?.count ?? 0) + 1;
    this.#floods.set(kindOf(kind), { ...kind, at, count });
  }
}

/** The part of a request that is needed: Hono's context has it. */
export interface Asked {
  readonly env: Pick<Bindings, "FLEET">;
  readonly executionCtx: { waitUntil(work: Promise<unknown>): void };
}

const buffer = new FailureBuffer();
let flushSince: number | null = null;

/** Never throws: an answer waits for it. */
export function noteFailure(asked: Asked, failure: Failure): void {
  buffer.note(failure);
  const since = flushSince === null ? FLUSH_LOST_MS : failure.at - flushSince;
  if (since >= 0 && since < FLUSH_LOST_MS) return;
  flushSince = failure.at;
  try {
    asked.executionCtx.waitUntil(flush(asked.env));
  } catch {
    // A request that can't wait for anything: the next one sends what it left.
    flushSince = null;
  }
}

async function flush({ FLEET }: Asked["env"]): Promise<void> {
  await new Promise((resolve) => void setTimeout(resolve, FLUSH_AFTER_MS));
  flushSince = null;
  const { failures, floods } = buffer.take();
  try {
    await fleetObject({ FLEET }).noteFailures(failures, floods);
  } catch {
    // The object restarts, or is out of reach.
  }
}

/** No code, route or key holds a line break. */
function kindOf({ code, route, key }: Pick<Failure, "code" | "route" | "key">): string {
  return `${code}\n${route}\n${key ?? ""}`;
}
