// The limiter of one client address (an IPv4 address, or an IPv6 /64): its window, in memory alone.
import { DurableObject } from "cloudflare:workers";
import { RATE_WINDOW_MS } from "../../shared/limits.ts";
import type { AddressLeaseQuestion, Lease } from "../../shared/leases.ts";
import type { Bindings } from "../env.ts";
import { grant, NO_WINDOW } from "./rate-window.ts";

export class ClientAddress extends DurableObject<Bindings> {
  #window = NO_WINDOW;

  lease(question: AddressLeaseQuestion): Lease {
    const taken = grant(
      this.#window,
      { quota: question.perSecond, windowMs: RATE_WINDOW_MS },
      question.want,
      Date.now(),
    );
    this.#window = taken.window;
    return taken.grant;
  }
}
