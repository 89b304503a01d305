// The signed-in operator and the latest fleet snapshot, only in this tab's memory.
import { effect, signal } from "@preact/signals";
import { apiKeyId } from "../../shared/api-key.ts";
import { FleetView } from "../../shared/fleet-view.ts";
import { edgeClient, isSendable, type EdgeClient } from "../api/edge-client.ts";
import { followFleet } from "../api/fleet-feed.ts";
import { NO_LINK, type Link } from "../model/freshness.ts";
import { NETWORK, signInText } from "../model/problem.ts";

export interface Session {
  readonly edge: EdgeClient;
  /** Id of the key that signed in; null if it has no recognisable one. */
  readonly keyId: string | null;
}

export const session = signal<Session | null>(null);
/** Why the last sign-in failed or the last session ended; may be empty. */
export const signInProblem = signal("");
/** The latest snapshot, and when it arrived by the browser's clock. */
export const fleet = signal<{ readonly view: FleetView; readonly receivedAt: number } | null>(null);
export const link = signal<Link>(NO_LINK);

/** Checks with the edge whether the key may manage the fleet. */
export async function signIn(key: string): Promise<void> {
  signInProblem.value = "";
  if (!isSendable(key)) {
    signInProblem.value = "This is not a key: it is empty or contains characters that no key has.";
    return;
  }
  const edge = edgeClient(key, (problem) => {
    if (session.peek()?.edge === edge) signOut(`You were signed out. ${signInText(problem)}`);
  });
  const answer = await edge.get("/admin/fleet", FleetView);
  if (!answer.ok) {
    signInProblem.value = signInText(answer.problem);
    return;
  }
  fleet.value = { view: answer.value, receivedAt: Date.now() };
  session.value = { edge, keyId: apiKeyId(key) };
}

/** Sends a request with the operator's key. */
export const send: EdgeClient["send"] = async (...request) =>
  (await session.peek()?.edge.send(...request)) ?? { ok: false, problem: NETWORK };

export function signOut(why = ""): void {
  session.value = null;
  fleet.value = null;
  link.value = NO_LINK;
  signInProblem.value = why;
}

// Follows the fleet during a session.
effect(() => {
  const current = session.value;
  if (current === null) return undefined;
  return followFleet(current.edge, {
    onView: (view) => (fleet.value = { view, receivedAt: Date.now() }),
    onLink: (next) => (link.value = next),
  });
});
