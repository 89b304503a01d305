// GET /admin/requests/:id: shows an operator why a request was refused or failed.
import type { Context } from "hono";
import { HOUR_MS } from "../../shared/calendar.ts";
import { RefusedError } from "../../shared/errors.ts";
import {
  FAILURES_KEPT,
  FAILURES_KEPT_MS,
  type FailureFlood,
  type FailedRequest,
} from "../../shared/failures.ts";
import type { EdgeEnv } from "../context.ts";
import { fleetObject } from "../stubs.ts";

/** As `http/answer-headers.ts` makes them. */
const REQUEST_ID = /^req_[0-9a-f]{32}$/;

export function showRequest() {
  return async function answerRequest(c: Context<EdgeEnv>): Promise<Response> {
    const id = c.req.param("id") ?? "";
    if (!REQUEST_ID.test(id)) {
      throw new RefusedError({
        code: "invalid_request",
        message:
          'id: must be "req_" and 32 hexadecimal digits, as in the x-request-id header and the error\'s request_id.',
        param: "id",
      });
    }
    const fleet = fleetObject(c.env);
    const failure = await fleet.failure(id);
    if (failure === null)
      throw new RefusedError({ code: "not_found", message: missing(await fleet.floods()), param: "id" });
    const failed: FailedRequest = { ...failure, at: new Date(failure.at).toISOString() };
    return c.json(failed);
  };
}

function missing(floods: readonly FailureFlood[]): string {
  const hours = FAILURES_KEPT_MS / HOUR_MS;
  const counts = floods
    .map(({ code, route, key, count }) => `${count} × ${code} on ${route}${key === null ? "" : ` by ${key}`}`)
    .join(", ");
  const flood = counts === "" ? "" : ` Largest floods: ${counts}.`;
  return (
    `No failed request with this id is stored. It succeeded, is older than ${hours} hours, is older than the newest ` +
    `${FAILURES_KEPT} failures, failed less than two seconds ago, or was part of a flood that was only counted.${flood}`
  );
}
