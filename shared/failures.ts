// The fate of a request that was refused or failed, as it is kept for whoever asks why: ids, codes and our own
// route patterns. No URL, no header, no body.
import * as z from "zod";

/** How many are kept, and for how long, milliseconds (design section 3). */
export const FAILURES_KEPT = 10_000;
export const FAILURES_KEPT_MS = 24 * 60 * 60 * 1000;

export const Failure = z
  .object({
    requestId: z.string(),
    /** When the edge answered, milliseconds since 1970. */
    at: z.int(),
    code: z.string(),
    /** The route's pattern, not the path that was asked for. */
    route: z.string(),
    key: z.string().nullable(),
    /** What only operators see: the box, the cause; null where the code says all. */
    cause: z.string().nullable(),
  })
  .meta({ id: "Failure" });
export type Failure = z.infer<typeof Failure>;

/** Failures of one kind that came too fast to keep one by one. */
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
    /** What the code means and what to do about it, for an operator. */
    meaning: z.string(),
  })
  .meta({ id: "FailedRequest" });
export type FailedRequest = z.infer<typeof FailedRequest>;
