// Follows the fleet over one event stream, and opens it again whenever it breaks or falls silent.
import { backoffMs, jittered, type Backoff } from "../../shared/backoff.ts";
import { FleetView } from "../../shared/fleet-view.ts";
import { EventReader } from "./sse.ts";
import { GIVE_UP_AFTER_MS, NO_LINK, type Link } from "../model/freshness.ts";
import { NETWORK, pageProblem, UNREADABLE, type Problem } from "../model/problem.ts";
import type { EdgeClient } from "./edge-client.ts";

/** Short for a brief outage, long enough for an edge that is down. */
const RECONNECT: Backoff = { minMs: 500, maxMs: 15_000 };

export interface FeedListeners {
  onView: (view: FleetView) => void;
  onLink: (link: Link) => void;
}

/** @returns a function that stops it. */
export function followFleet(edge: EdgeClient, listeners: FeedListeners): () => void {
  const stopped = new AbortController();
  let link = NO_LINK;
  const update = (change: Partial<Link>): void => {
    link = { ...link, ...change };
    if (!stopped.signal.aborted) listeners.onLink(link);
  };
  const follow = async (): Promise<void> => {
    for (let failures = 0; !stopped.signal.aborted;) {
      update({ phase: "connecting", retryAt: null });
      const problem = await readStream(edge, stopped.signal, listeners, (at) => {
        failures = 0;
        update({ phase: "open", lastUpdateAt: at, problem: "" });
      });
      if (stopped.signal.aborted) return;
      failures += 1;
      const pause = Math.max(
        jittered(backoffMs(RECONNECT, failures), Math.random()),
        problem.retryAfterMs ?? 0,
      );
      update({ phase: "waiting", retryAt: Date.now() + pause, problem: shortText(problem) });
      await pauseOrOnline(pause, stopped.signal);
    }
  };
  void follow();
  return () => stopped.abort();
}

/** Reads one stream. @returns why it ended. */
async function readStream(
  edge: EdgeClient,
  stopped: AbortSignal,
  { onView }: FeedListeners,
  onData: (at: number) => void,
): Promise<Problem> {
  const silent = new AbortController();
  const giveUp = (): void => silent.abort();
  let watchdog = setTimeout(giveUp, GIVE_UP_AFTER_MS);
  try {
    const signal = AbortSignal.any([stopped, silent.signal]);
    const answer = await edge.open("/admin/fleet/events", { signal });
    if (!answer.ok) return answer.problem;
    const body = answer.value.body;
    if (body === null) return UNREADABLE;
    const events = new EventReader();
    const reader = body.getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      clearTimeout(watchdog);
      watchdog = setTimeout(giveUp, GIVE_UP_AFTER_MS);
      onData(Date.now());
      for (const { event, data } of events.push(next.value)) {
        if (event !== "fleet" && event !== "message") continue;
        const view = FleetView.safeParse(JSON.parse(data));
        if (!view.success) return UNREADABLE;
        if (!stopped.aborted) onView(view.data);
      }
    }
    return ENDED;
  } catch {
    return silent.signal.aborted ? SILENT : BROKEN;
  } finally {
    clearTimeout(watchdog);
    // Closes a stream whose events were unreadable.
    silent.abort();
  }
}

const ENDED = pageProblem("ended", "");
const SILENT = pageProblem("silent", "");
const BROKEN = pageProblem("broken", "");

/** For the middle of a sentence. */
function shortText(problem: Problem): string {
  switch (problem.code) {
    case ENDED.code:
      return "the edge ended the stream";
    case SILENT.code:
      return "the stream fell silent";
    case BROKEN.code:
      return "the stream broke";
    case NETWORK.code:
      return "it can't be reached";
    case UNREADABLE.code:
      return "this page can't read its data: reload the page";
    default:
      return `it returned ${problem.code}`;
  }
}

/** Waits between two attempts; ends early when the machine comes back online. */
function pauseOrOnline(ms: number, stopped: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      removeEventListener("online", end);
      stopped.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    addEventListener("online", end);
    stopped.addEventListener("abort", end);
  });
}
