// The limiter of one key: its window. Named by the key's id. Nothing of it is stored yet: a window of one
// second that a restart forgets may be granted once more, and no key is kept here before keys can be made.
import { DurableObject } from "cloudflare:workers";
import { RATE_WINDOW_MS } from "../../shared/limits.ts";
import type { KeyLeaseAnswer, KeyLeaseQuestion } from "../../shared/leases.ts";
import type { Bindings } from "../env.ts";
import { grant, NO_WINDOW } from "./rate-window.ts";

export class ApiKey extends DurableObject<Bindings> {
  #window = NO_WINDOW;

  /** Permission and tokens in one: one round trip a call at most. */
  lease(question: KeyLeaseQuestion): KeyLeaseAnswer {
    const now = Date.now();
    const record = question.standing;
    if (record === null) return { kind: "unknown" };
    if (record.expiresAt !== null && record.expiresAt <= now) return { kind: "expired" };
    const taken = grant(
      this.#window,
      { quota: record.limits.perSecond, windowMs: RATE_WINDOW_MS },
      question.want,
      now,
    );
    this.#window = taken.window;
    return { kind: "known", record, lease: taken.grant };
  }
}
