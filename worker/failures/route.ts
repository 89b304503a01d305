// GET /admin/requests/:id: the fate of a request that was refused or failed, for whoever asks why.
import type { Context } from "hono";
import { HOUR_MS } from "../../shared/calendar.ts";
import { RefusedError } from "../../shared/errors.ts";
import { meaningOf } from "./meanings.ts";
import {
  FAILURES_KEPT,
  FAILURES_KEPT_MS,
  type FailureFlood,
  type FailedRequest,
} from "../../shared/failures.ts";
import type { EdgeEnv } from "../context.ts";
import { fleetObject } from "../stubs.ts";

/** As `middleware/request-id.ts` makes them. */
const REQUEST_ID = /^req_[0-9a-f]{32}$/;

export function showRequest() {
  return async function answerRequest(c: Context<EdgeEnv>): Promise<Response> {
    const id = c.req.param("id") ?? "";
    if (!REQUEST_ID.test(id)) {
      throw new RefusedError({
        code: "invalid_request",
        message:
          'id: a request id is "req_" and 32 hexadecimal digits, as in the x-request-id header and the error\'s request_id.',
        param: "id",
      });
    }
    const fleet = fleetObject(c.env);
    const failure = await fleet.failure(id);
    if (failure === null)
      throw new RefusedError({ code: "not_found", message: missing(await fleet.floods()), param: "id" });
    const failed: FailedRequest = {
      ...failure,
      at: new Date(failure.at).toISOString(),
      meaning: meaningOf(failure.code),
    };
    return c.json(failed);
  };
}

function missing(floods: readonly FailureFlood[]): string {
  const hours = FAILURES_KEPT_MS / HOUR_MS;
  const counted = floods
    .map(({ code, route, key, count }) => `${count} × ${code} on ${route}${key === null ? "" : ` by ${key}`}`)
    .join(", ");
  const flood = counted === "" ? "" : ` Largest floods: ${counted}.`;
  return (
    `No failed request of this id is kept. It succeeded, is older than ${hours} hours, is past the newest ` +
    `${FAILURES_KEPT}, failed less than two seconds ago, or was one of a flood that was only counted.${flood}`
  );
}
