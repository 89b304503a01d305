// The limiter of one client address (an IPv4 address or an IPv6 /64): its window and its failed keys, in memory only.
// A restart forgets both: the window may be granted once more, and as many keys be tried again.
import { DurableObject } from "cloudflare:workers";
import { RATE_WINDOW_MS } from "../../shared/limits.ts";
import type { Bindings } from "../env.ts";
import { NO_FAILED_KEYS, noteFailedKeys, suspectForMs } from "./failed-keys.ts";
import type { AddressLeaseAnswer, AddressLeaseRequest } from "./lease-request.ts";
import { grant, NO_WINDOW } from "./rate-window.ts";

export class ClientAddress extends DurableObject<Bindings> {
  #window = NO_WINDOW;
  #failedKeys = NO_FAILED_KEYS;

  lease(request: AddressLeaseRequest): AddressLeaseAnswer {
    const now = Date.now();
    const limit = { quota: request.perSecond, windowMs: RATE_WINDOW_MS };
    const granted = grant(this.#window, limit, request, now);
    this.#window = granted.window;
    this.#failedKeys = noteFailedKeys(this.#failedKeys, request.failedKeys, now);
    return { lease: granted.grant, suspectForMs: suspectForMs(this.#failedKeys, now) };
  }
}
