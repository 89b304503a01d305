// The causes of a server's state: a closed set with figures, and a text for each. An unknown figure is null, never 0.
import { durationText } from "../../shared/duration.ts";
import type { Pm2Status } from "../probes/pm2-listing.ts";

/**
 * `down`: it can take no call. `loading`: it is coming up. `ready`: it takes calls. `slow`: it takes calls but is far
 * slower than usual. `stalled`: it reports ok but decodes nothing.
 */
export type HealthState = "down" | "loading" | "ready" | "slow" | "stalled";

/** The evidence that a server doesn't decode. */
export type StallCause =
  /** A running call got no token for `silentMs`. */
  | { readonly tag: "no-decode"; readonly slot: number; readonly silentMs: number }
  /** A call's prompt processing made no progress for `silentMs`. */
  | { readonly tag: "no-prompt-progress"; readonly slot: number; readonly silentMs: number }
  /** Its main loop, which answers `/slots`, didn't answer for `silentMs`. */
  | { readonly tag: "slots-silent"; readonly silentMs: number }
  /** It has answered nothing at all for `silentMs`: its process is frozen. */
  | { readonly tag: "frozen"; readonly silentMs: number }
  /** A call's own watchdog expired. */
  | { readonly tag: "call-stalled" }
  /** Although idle, it didn't decode one token, `tries` times in a row. */
  | { readonly tag: "one-token-unanswered"; readonly tries: number };

export type SlowCause =
  | { readonly tag: "cpu-fallback"; readonly heldGib: number | null; readonly weightsGib: number }
  | {
      readonly tag: "slow-decode";
      readonly tokensPerSecond: number | null;
      readonly usualTokensPerSecond: number | null;
    };

export type HealthCause =
  | { readonly tag: "not-asked" }
  | { readonly tag: "refused"; readonly pm2: Pm2Status | null }
  | { readonly tag: "no-answer"; readonly failures: number }
  | { readonly tag: "calls-break"; readonly calls: number }
  | { readonly tag: "wrong-key" }
  | { readonly tag: "stopping" }
  | { readonly tag: "loading" }
  | { readonly tag: "restarted" }
  | { readonly tag: "proving"; readonly falls: number }
  | { readonly tag: "well" }
  | StallCause
  | SlowCause;

/** A phrase without the server's name, such as "no token for 15 s in slot 1". */
export function causeText(cause: HealthCause): string {
  switch (cause.tag) {
    case "not-asked":
      return "not probed yet";
    case "refused":
      return cause.pm2 === null ? "nothing listens" : `nothing listens; PM2 reports ${cause.pm2}`;
    case "no-answer":
      return `/health failed ${cause.failures} times in a row`;
    case "calls-break":
      return `${cause.calls} calls in a row broke`;
    case "stopping":
      return "PM2 is stopping it";
    case "loading":
      return "loading its weights";
    case "restarted":
      return "restarted by PM2";
    case "proving":
      return `failed ${cause.falls} times within a minute; must decode a token first`;
    case "well":
      return "well";
    case "no-decode":
      return `no token for ${durationText(cause.silentMs)} in slot ${cause.slot}`;
    case "no-prompt-progress":
      return `the prompt in slot ${cause.slot} made no progress for ${durationText(cause.silentMs)}`;
    case "slots-silent":
      return `/slots unanswered for ${durationText(cause.silentMs)} while /health returns ok`;
    case "frozen":
      return `no answer, byte or token for ${durationText(cause.silentMs)}; its process is frozen`;
    case "wrong-key":
      return "it refuses our API key: give the agent's LLAMA_API_KEY and its --api-key-file the same key, then restart both";
    case "call-stalled":
      return "a call stopped receiving tokens";
    case "one-token-unanswered":
      return `idle but decoded no token in ${cause.tries} tries`;
    case "cpu-fallback":
      return `on the CPU: uses ${figure(cause.heldGib)} GiB of GPU memory, its weights are ${cause.weightsGib}`;
    case "slow-decode":
      return `${figure(cause.tokensPerSecond)} tokens/s, usually ${figure(cause.usualTokensPerSecond)}`;
  }
}

const figure = (value: number | null): string => (value === null ? "?" : value.toFixed(1));
