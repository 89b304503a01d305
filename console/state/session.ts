// Who is signed in, and what is known of the fleet meanwhile: all in this tab's memory, gone with it.
import { effect, signal } from "@preact/signals";
import { apiKeyId } from "../../shared/api-key.ts";
import { FleetView } from "../../shared/fleet-view.ts";
import { edgeClient, isSendable, type EdgeClient } from "../api/edge-client.ts";
import { followFleet } from "../api/fleet-feed.ts";
import { NO_LINK, type Link } from "../model/freshness.ts";
import { signInWords } from "../model/problem.ts";

export interface Session {
  readonly edge: EdgeClient;
  /** Of the key that signed in; null where it has none that shows. */
  readonly keyId: string | null;
}

export const session = signal<Session | null>(null);
/** Why the last sign-in failed, or why one was ended; empty for nothing. */
export const signInProblem = signal("");
/** The fleet as last told, and when that was by the browser's clock. */
export const fleet = signal<{ readonly view: FleetView; readonly lastSeenAt: number } | null>(null);
export const link = signal<Link>(NO_LINK);

/** Asks the edge whether the key may look after the fleet. */
export async function signIn(key: string): Promise<void> {
  signInProblem.value = "";
  if (!isSendable(key)) {
    signInProblem.value = "This is no key: it is empty, or has spaces or signs that no key has.";
    return;
  }
  const edge = edgeClient(key, (problem) => {
    if (session.peek()?.edge === edge) signOut(`You were signed out. ${signInWords(problem)}`);
  });
  const answer = await edge.get("/admin/fleet", FleetView);
  if (!answer.ok) {
    signInProblem.value = signInWords(answer.problem);
    return;
  }
  fleet.value = { view: answer.value, lastSeenAt: Date.now() };
  session.value = { edge, keyId: apiKeyId(key) };
}

export function signOut(why = ""): void {
  session.value = null;
  fleet.value = null;
  link.value = NO_LINK;
  signInProblem.value = why;
}

// For as long as somebody is signed in, the fleet is followed.
effect(() => {
  const now = session.value;
  if (now === null) return undefined;
  return followFleet(now.edge, {
    onView: (view) => (fleet.value = { view, lastSeenAt: Date.now() }),
    onLink: (next) => (link.value = next),
  });
});
