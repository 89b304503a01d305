// The signed-in operator and the latest fleet snapshot, in this tab's memory. The key is stored only if the operator
// chose to stay signed in.
import { effect, signal } from "@preact/signals";
import { apiKeyId } from "../../shared/api-key.ts";
import { FleetView } from "../../shared/fleet-view.ts";
import { edgeClient, isSendable, type EdgeClient } from "../api/edge-client.ts";
import { followFleet } from "../api/fleet-feed.ts";
import { NO_LINK, type Link } from "../model/freshness.ts";
import { isKeyRefused, NETWORK, signInText } from "../model/problem.ts";
import { forgetKey, storedKey, storeKey } from "./stored-key.ts";

export interface Session {
  readonly edge: EdgeClient;
  /** Id of the key that signed in; null if it has no recognisable one. */
  readonly keyId: string | null;
}

export const session = signal<Session | null>(null);
/** Whether the page signs in with a stored key now, after a reload. */
export const resuming = signal(false);
/** Why the last sign-in failed or the last session ended; may be empty. */
export const signInProblem = signal("");
/** The latest snapshot, and when it arrived by the browser's clock. */
export const fleet = signal<{ readonly view: FleetView; readonly receivedAt: number } | null>(null);
export const link = signal<Link>(NO_LINK);

/**
 * Checks with the edge whether the key may manage the fleet.
 *
 * @param stay whether to store the key in this tab, so that a reload keeps the session
 */
export async function signIn(key: string, stay = false): Promise<void> {
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
    // A key that can't be checked now may be checked after another reload.
    if (isKeyRefused(answer.problem)) forgetKey();
    signInProblem.value = signInText(answer.problem);
    return;
  }
  if (stay) storeKey(key);
  else forgetKey();
  fleet.value = { view: answer.value, receivedAt: Date.now() };
  session.value = { edge, keyId: apiKeyId(key) };
}

/** Continues the session that a reload interrupted, if the operator chose to stay signed in. */
export async function resumeSession(): Promise<void> {
  const key = storedKey();
  if (key === null) return;
  resuming.value = true;
  await signIn(key, true);
  resuming.value = false;
}

/** Sends a request with the operator's key. */
export const send: EdgeClient["send"] = async (...request) =>
  (await session.peek()?.edge.send(...request)) ?? { ok: false, problem: NETWORK };

export function signOut(why = ""): void {
  forgetKey();
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
