// Why a server is in the state it is in: a closed set of causes with their figures, and words for people.
// A figure nobody could tell is null, never 0.
import type { Pm2Status } from "../probes/pm2-listing.ts";

/**
 * `down`: it can take nothing. `loading`: it is coming up. `ready`: it takes calls. `slow`: it takes them and
 * is far slower than it should be. `stalled`: it says that it is well and decodes nothing. `draining`: an
 * operator wants it left alone.
 */
export type HealthState = "down" | "loading" | "ready" | "slow" | "stalled" | "draining";

/** What kept a server from decoding. */
export type StallCause =
  /** A running call got no token for `silentMs`. */
  | { readonly tag: "no-decode"; readonly slot: number; readonly silentMs: number }
  /** A call's prompt got no further for `silentMs`. */
  | { readonly tag: "no-prompt-progress"; readonly slot: number; readonly silentMs: number }
  /** Its main loop, which answers `/slots`, hasn't for `silentMs`. */
  | { readonly tag: "slots-silent"; readonly silentMs: number }
  /** A call's own watchdog gave up on it. */
  | { readonly tag: "call-stalled" }
  /** With nothing else to do it didn't decode one token, `tries` times in a row. */
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
  | { readonly tag: "stopping" }
  | { readonly tag: "loading" }
  | { readonly tag: "restarted" }
  | { readonly tag: "proving"; readonly falls: number }
  | { readonly tag: "well" }
  | { readonly tag: "drained" }
  | StallCause
  | SlowCause;

/** One sentence's worth, without the server's name: "no token for 15 s in slot 1". */
export function causeInWords(cause: HealthCause): string {
  switch (cause.tag) {
    case "not-asked":
      return "nobody has looked yet";
    case "refused":
      return cause.pm2 === null ? "nothing listens" : `nothing listens; PM2 says ${cause.pm2}`;
    case "no-answer":
      return `/health failed ${cause.failures} times in a row`;
    case "calls-break":
      return `${cause.calls} calls in a row broke`;
    case "stopping":
      return "PM2 is stopping it";
    case "loading":
      return "reading its weights";
    case "restarted":
      return "PM2 has started it anew";
    case "proving":
      return `fell ${cause.falls} times within a minute; must decode a token first`;
    case "well":
      return "well";
    case "drained":
      return "taken out of service by an operator";
    case "no-decode":
      return `no token for ${seconds(cause.silentMs)} in slot ${cause.slot}`;
    case "no-prompt-progress":
      return `the prompt in slot ${cause.slot} got no further for ${seconds(cause.silentMs)}`;
    case "slots-silent":
      return `/slots unanswered for ${seconds(cause.silentMs)} while /health says ok`;
    case "call-stalled":
      return "a call's tokens stopped coming";
    case "one-token-unanswered":
      return `idle, and didn't decode one token, ${cause.tries} times in a row`;
    case "cpu-fallback":
      return `on the CPU: holds ${figure(cause.heldGib)} GiB of GPU memory, its weights are ${cause.weightsGib}`;
    case "slow-decode":
      return `${figure(cause.tokensPerSecond)} tokens/s, usually ${figure(cause.usualTokensPerSecond)}`;
  }
}

const seconds = (ms: number): string => `${Math.round(ms / 1_000)} s`;

const figure = (value: number | null): string => (value === null ? "?" : value.toFixed(1));
