// A refused or failed request as it is stored for `isha why`: ids, codes and our own route patterns. It has no URL, no
// header and no body.
import * as z from "zod/mini";

/** How many failures are stored, and for how long (design section 3). */
export const FAILURES_KEPT = 10_000;
export const FAILURES_KEPT_MS = 24 * 60 * 60 * 1000;

export const Failure = z
  .object({
    requestId: z.string(),
    /** When the edge answered, in milliseconds since 1970. */
    at: z.int(),
    code: z.string(),
    /** The route's pattern, not the requested path. */
    route: z.string(),
    key: z.nullable(z.string()),
    /** For operators only: the box and the cause; null if the code states everything. */
    cause: z.nullable(z.string()),
  })
  .check(z.meta({ id: "Failure" }));
export type Failure = z.infer<typeof Failure>;

/** Failures of one kind that came too fast to be stored one by one. */
export interface FailureFlood {
  readonly at: number;
  readonly code: string;
  readonly route: string;
  readonly key: string | null;
  readonly count: number;
}

/** Answer to `GET /admin/requests/:id`. */
export const FailedRequest = z
  .object({
    ...Failure.shape,
    at: z.iso.datetime(),
    /** For an operator: what the code means, and the fix. */
    meaning: z.string(),
  })
  .check(z.meta({ id: "FailedRequest" }));
export type FailedRequest = z.infer<typeof FailedRequest>;
