// Follows the fleet: one stream of events, asked for again whenever it breaks or falls silent, until it is stopped.
import { FleetView } from "../../shared/fleet-view.ts";
import { pauseMs } from "./backoff.ts";
import { EventReader } from "./sse.ts";
import { GIVE_UP_AFTER_MS, NO_LINK, type Link } from "../model/freshness.ts";
import { NETWORK, UNREADABLE, type Problem } from "../model/problem.ts";
import type { EdgeClient } from "./edge-client.ts";

export interface FeedListeners {
  onView: (view: FleetView) => void;
  onLink: (link: Link) => void;
}

/** @returns stops it. */
export function followFleet(edge: EdgeClient, listeners: FeedListeners): () => void {
  const stopped = new AbortController();
  let link = NO_LINK;
  const say = (change: Partial<Link>): void => {
    link = { ...link, ...change };
    if (!stopped.signal.aborted) listeners.onLink(link);
  };
  const follow = async (): Promise<void> => {
    for (let failures = 0; !stopped.signal.aborted;) {
      say({ phase: "asking", retryAt: null });
      const problem = await oneStream(edge, stopped.signal, listeners, (at) => {
        failures = 0;
        say({ phase: "open", wordAt: at, problem: "" });
      });
      if (stopped.signal.aborted) return;
      failures += 1;
      const pause = Math.max(pauseMs(failures, Math.random()), problem.retryAfterMs ?? 0);
      say({ phase: "waiting", retryAt: Date.now() + pause, problem: shortly(problem) });
      await pauseOrOnline(pause, stopped.signal);
    }
  };
  void follow();
  return () => stopped.abort();
}

/** One stream from its beginning to whatever ends it. */
async function oneStream(
  edge: EdgeClient,
  stopped: AbortSignal,
  { onView }: FeedListeners,
  onWord: (at: number) => void,
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
      onWord(Date.now());
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
    // Ends a stream that is given up for what it said rather than for its silence.
    silent.abort();
  }
}

const own = (code: string): Problem => ({ code, message: "", requestId: null, retryAfterMs: null });
const ENDED = own("ended");
const SILENT = own("silent");
const BROKEN = own("broken");

/** For the middle of a sentence. */
function shortly(problem: Problem): string {
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
      return "it says what this page can't read: reload the page";
    default:
      return `it answered ${problem.code}`;
  }
}

/** The pause between two tries; a machine that comes back online doesn't wait for its end. */
function pauseOrOnline(ms: number, stopped: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const over = (): void => {
      clearTimeout(timer);
      removeEventListener("online", over);
      stopped.removeEventListener("abort", over);
      resolve();
    };
    const timer = setTimeout(over, ms);
    addEventListener("online", over);
    stopped.addEventListener("abort", over);
  });
}
