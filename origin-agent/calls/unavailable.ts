// What a client is told where no server could be found for its call: loading, down, or gone for good.
import type { Call } from "../../shared/call-headers.ts";
import type { Refusal } from "../../shared/errors.ts";
import type { Placement } from "../servers/dispatch.ts";
import { BROKE_OFF } from "./recovery.ts";

/** When to ask again where nobody can tell how long loading takes, and where nothing is even loading, milliseconds. */
const LOADING_RETRY_MS = 5_000;
const DOWN_RETRY_MS = 10_000;

/** @param continuing whether part of an answer is with the client already. */
export function noServer(
  call: Pick<Call, "wantedPort" | "fallbackPorts">,
  { loading, remainingMs }: Extract<Placement, { readonly kind: "none" }>,
  continuing: boolean,
): Refusal {
  if (continuing) return { ...BROKE_OFF, internal: "no server of the model came back in time" };
  const others = call.fallbackPorts.length > 0 ? " and no fallback of it is up" : "";
  if (loading) {
    return {
      code: "model_loading",
      message: `The model on port ${call.wantedPort} is still loading${others}. Ask again after Retry-After.`,
      retryAfterMs: remainingMs ?? LOADING_RETRY_MS,
    };
  }
  return {
    code: "model_unavailable",
    message: `The model on port ${call.wantedPort} is not running${others}. Ask again shortly, or name another model.`,
    retryAfterMs: DOWN_RETRY_MS,
  };
}
