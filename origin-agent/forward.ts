// Carries one call to a llama-server and its answer back: does what port-plan.ts decides, and ends every
// call in exactly one of three ways: answered, refused, or left by its client.
import type { ServerResponse } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import type { Call } from "../shared/call-headers.ts";
import type { Refusal } from "../shared/errors.ts";
import { sendRefusal } from "./answer.ts";
import { attempt, type AttemptEnd } from "./attempt.ts";
import type { AnswerFormat } from "./formats/format.ts";
import { mediczy } from "./formats/mediczy.ts";
import { openai } from "./formats/openai.ts";
import { nextStep, type PortFate } from "./port-plan.ts";
import { probeState } from "./probes/llama.ts";
import type { Upstream } from "./upstreams.ts";

const FORMATS: Readonly<Record<Call["format"], AnswerFormat>> = { openai, mediczy };

/** The reason a call's signal has when its client went away; any other reason is the refusal to tell it. */
export const CLIENT_LEFT: Refusal = { code: "internal", message: "The client left." };

/** What became of a call, for its log line. */
export interface CallReport {
  readonly outcome: "answered" | "refused" | "left";
  /** The last port tried. */
  readonly port: number | null;
  readonly refusal: Refusal | null;
  readonly queueMs: number;
}

export interface Forwarding {
  readonly call: Call;
  readonly body: Buffer;
  readonly response: ServerResponse;
  readonly box: string;
  readonly upstreams: ReadonlyMap<number, Upstream>;
  /** Ends the call from outside; its reason is a `Refusal`, `CLIENT_LEFT` among them. */
  readonly signal: AbortSignal;
  /** Monotonic, milliseconds. */
  readonly clock: () => number;
}

/** Serves one call to its end. What goes wrong becomes the client's answer and the report. */
export async function forwardCall(forwarding: Forwarding): Promise<CallReport> {
  const { call, response, signal, clock, box } = forwarding;
  const arrived = clock();
  const fates = new Map<number, PortFate>();
  let started = false;
  let port: number | null = null;
  let queueMs = 0;

  const refuse = (refusal: Refusal): CallReport => {
    if (refusal === CLIENT_LEFT) return { outcome: "left", port, refusal: null, queueMs };
    sendRefusal(response, refusal, { requestId: call.requestId, box, started });
    return { outcome: "refused", port, refusal, queueMs };
  };

  while (!signal.aborted) {
    const step = nextStep(call, fates, clock() - arrived);
    if (step.kind === "refuse") return refuse(step.refusal);
    if (step.kind === "wait") {
      await waitForLoading(forwarding, step, fates);
      continue;
    }
    port = step.port;
    const upstream = forwarding.upstreams.get(port);
    if (upstream === undefined) {
      // The edge's fleet file names a port that ours doesn't: as good as one where nothing listens.
      fates.set(port, "refused");
      continue;
    }
    if (!upstream.hasRoom) {
      fates.set(port, "full");
      continue;
    }
    queueMs = Math.round(clock() - arrived);
    started = true;
    const end = await tryServer(forwarding, upstream, queueMs);
    switch (end.kind) {
      case "answered":
        return { outcome: "answered", port, refusal: null, queueMs };
      case "failed":
        return refuse(end.refusal);
      case "not-up":
        started = false;
        fates.set(port, end.fate);
        break;
      case "stale":
      case "aborted":
        break;
    }
  }
  return refuse(signal.reason as Refusal);
}

async function tryServer(forwarding: Forwarding, upstream: Upstream, queueMs: number): Promise<AttemptEnd> {
  const input = { ...forwarding, upstream, queueMs, format: FORMATS[forwarding.call.format] };
  const first = await attempt({ ...input, fresh: false });
  return first.kind === "stale" ? attempt({ ...input, fresh: true }) : first;
}

/** Waits one poll, then takes the ports that are ready off the list of those that aren't. */
async function waitForLoading(
  forwarding: Forwarding,
  step: { readonly ms: number; readonly ports: readonly number[] },
  fates: Map<number, PortFate>,
): Promise<void> {
  try {
    await pause(step.ms, undefined, { signal: forwarding.signal });
  } catch {
    return; // Aborted: the caller looks at the signal itself.
  }
  await Promise.all(
    step.ports.map(async (port) => {
      const upstream = forwarding.upstreams.get(port);
      if (upstream === undefined) return;
      const state = await probeState(upstream.origin);
      if (state === "ready") fates.delete(port);
      else if (state === "down") fates.set(port, "refused");
    }),
  );
}
