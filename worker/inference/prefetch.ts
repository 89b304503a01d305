// What requests bring that takes its time: a call its body and a look at the fleet, an operator's change its body.
import type { FleetLive } from "../fleet/snapshot-cache.ts";
import { readAdminBody } from "../http/admin-input.ts";
import { readBody } from "../http/json-body.ts";
import type { RequestParts } from "../limits/authenticate.ts";
import { beginBody } from "./prefetch-body.ts";
import { beginLook, lookAgain } from "./prefetch-snapshot.ts";

export function callParts(live: FleetLive): RequestParts {
  return {
    begin: (c) => {
      beginBody(c, readBody);
      beginLook(live, c);
    },
    whole: async (c) => c.get("body"),
    renew: (c) => lookAgain(live, c),
  };
}

export const ADMIN_PARTS: RequestParts = {
  begin: (c) => beginBody(c, readAdminBody),
  whole: async (c) => c.get("body"),
  renew: () => undefined,
};
