// What requests bring that takes its time: a call its body and a look at the fleet, an operator's change its body.
import type { FleetLive } from "../proxy/fleet-live.ts";
import { readAdminBody } from "../proxy/admin-input.ts";
import { readBody } from "../proxy/json-body.ts";
import type { RequestParts } from "./admit.ts";
import { beginBody } from "./body.ts";
import { beginLook, lookAgain } from "./fleet-look.ts";

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
