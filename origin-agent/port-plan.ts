// Which port a call tries next: a pure decision from what became of the tries before. It knows no sockets;
// one caller (forward.ts) performs what it says.
import type { Call } from "../shared/call-headers.ts";
import { type Refusal } from "../shared/errors.ts";
import { LOAD_POLL_MS, LOAD_WAIT_MS } from "../shared/limits.ts";

/**
 * What a port was found to be. `refused`: nothing listens. `loading`: it answers 503 until its weights are
 * read. `full`: it is up, and as many calls wait for it as may.
 */
export type PortFate = "refused" | "loading" | "full";

export type Step =
  | { readonly kind: "try"; readonly port: number }
  /** Look again, after `ms`, whether one of `ports` has finished loading. */
  | { readonly kind: "wait"; readonly ms: number; readonly ports: readonly number[] }
  | { readonly kind: "refuse"; readonly refusal: Refusal };

export type PlanInput = Pick<Call, "ports" | "fallbackPorts" | "wantedPort">;

/**
 * The next thing to do for a call that nobody has begun to answer.
 *
 *  1. A port that may serve as it is and hasn't been tried: try it.
 *  2. One of those is full: refuse. It is up, and a fallback is for one that isn't.
 *  3. One of those is loading and `loadWait` isn't over: wait for it. Its answer is the one asked for.
 *  4. A fallback port that hasn't been tried: try it, in the edge's order. Those that load aren't waited for.
 *  5. Refuse, and say whether asking again soon makes sense.
 *
 * @param fates what became of each port so far; a port that has since been seen ready is not in it.
 * @param waitedMs how long this call has been with us.
 */
export function nextStep(call: PlanInput, fates: ReadonlyMap<number, PortFate>, waitedMs: number): Step {
  const untried = call.ports.find((port) => !fates.has(port));
  if (untried !== undefined) return { kind: "try", port: untried };

  if (call.ports.some((port) => fates.get(port) === "full"))
    return { kind: "refuse", refusal: noPortLeft(call, fates) };

  const loading = call.ports.filter((port) => fates.get(port) === "loading");
  if (loading.length > 0 && waitedMs < LOAD_WAIT_MS) {
    return { kind: "wait", ms: Math.min(LOAD_POLL_MS, LOAD_WAIT_MS - waitedMs), ports: loading };
  }

  const fallback = call.fallbackPorts.find((port) => !fates.has(port));
  if (fallback !== undefined) return { kind: "try", port: fallback };

  return { kind: "refuse", refusal: noPortLeft(call, fates) };
}

function noPortLeft(call: PlanInput, fates: ReadonlyMap<number, PortFate>): Refusal {
  const tried = [...fates].map(([port, fate]) => `${port} ${fate}`).join(", ");
  if ([...fates.values()].includes("full")) {
    return {
      code: "overloaded",
      message: "The box holds as many calls for this model as may wait. Ask again in a few seconds.",
      retryAfterMs: 5_000,
      internal: tried,
    };
  }
  const others = call.fallbackPorts.length > 0 ? " and no fallback of it is up" : "";
  if ([...fates.values()].includes("loading")) {
    return {
      code: "model_loading",
      message: `The model on port ${call.wantedPort} is still loading${others}. Ask again in a few seconds.`,
      retryAfterMs: 5_000,
      internal: tried,
    };
  }
  return {
    code: "model_unavailable",
    message: `The model on port ${call.wantedPort} is not running${others}. Ask again shortly, or name another model.`,
    retryAfterMs: 10_000,
    internal: tried,
  };
}
