// The limiter of one client address (an IPv4 address, or an IPv6 /64): its window and its failed keys, in memory
// alone. A restart forgets both: the window may be granted once more, the keys be tried once more.
import { DurableObject } from "cloudflare:workers";
import { keysRefusedForMs, NO_FAILED_KEYS, noteFailedKeys } from "./failed-keys.ts";
import { RATE_WINDOW_MS } from "../../shared/limits.ts";
import type { AddressLeaseAnswer, AddressLeaseQuestion } from "./lease-request.ts";
import type { Bindings } from "../env.ts";
import { grant, NO_WINDOW } from "./rate-window.ts";

export class ClientAddress extends DurableObject<Bindings> {
  #window = NO_WINDOW;
  #failedKeys = NO_FAILED_KEYS;

  lease(question: AddressLeaseQuestion): AddressLeaseAnswer {
    const now = Date.now();
    const limit = { quota: question.perSecond, windowMs: RATE_WINDOW_MS };
    const taken = grant(this.#window, limit, question, now);
    this.#window = taken.window;
    this.#failedKeys = noteFailedKeys(this.#failedKeys, question.failedKeys, now);
    return { lease: taken.grant, keysRefusedForMs: keysRefusedForMs(this.#failedKeys, now) };
  }
}
