// Chooses the refusal for a call that found no server: the model is loading, is down, or didn't come back in time.
import type { Call } from "../../shared/call-headers.ts";
import type { Refusal } from "../../shared/errors.ts";
import type { Placement } from "../servers/dispatch.ts";
import { BROKE_OFF } from "./next-try.ts";

/** When to retry if the remaining load time is unknown, and if no server is even loading. */
const LOADING_RETRY_MS = 5_000;
const DOWN_RETRY_MS = 10_000;

/** @param continuing whether the client already has part of an answer. */
export function unavailable(
  call: Pick<Call, "wantedPort" | "fallbackPorts">,
  { loading, remainingMs }: Extract<Placement, { readonly kind: "none" }>,
  continuing: boolean,
): Refusal {
  if (continuing) return { ...BROKE_OFF, internal: "no server of the model came back in time" };
  const others = call.fallbackPorts.length > 0 ? " and no fallback is up" : "";
  if (loading) {
    return {
      code: "model_loading",
      message: `The model on port ${call.wantedPort} is still loading${others}. Try again after Retry-After.`,
      retryAfterMs: remainingMs ?? LOADING_RETRY_MS,
    };
  }
  return {
    code: "model_unavailable",
    message: `The model on port ${call.wantedPort} is not running${others}. Try again shortly, or use another model.`,
    retryAfterMs: DOWN_RETRY_MS,
  };
}
