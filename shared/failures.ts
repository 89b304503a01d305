// A refused or failed request as it is stored for `isha why`: ids, codes and our own route patterns. It has no URL, no
// header and no body.
import * as z from "zod/mini";
import type { Refusal } from "./errors.ts";

/** How many failures are stored, and for how long (design section 3). */
export const FAILURES_KEPT = 10_000;
export const FAILURES_KEPT_MS = 24 * 60 * 60 * 1000;

/** Names and numbers from the refusal that the client got; absent if it had none, or another release stored it. */
const facts = {
  /**
   * The fleet's agent type under which the edge decided the call's route, never a name of the client's own. Null if the
   * request got no decision.
   */
  agentType: z.optional(z.nullable(z.string())),
  /** The path of the wrong field, from our own schemas. */
  param: z.optional(z.string()),
  /** The server that the call was for. */
  model: z.optional(z.string()),
  port: z.optional(z.int()),
  /** Seconds after which the client was asked to try again. */
  retryAfterS: z.optional(z.int()),
};
export type FailureFacts = z.infer<z.ZodMiniObject<typeof facts>>;

/** A field's path, with nothing that a client could write into it but a field's name. */
const PARAM = /^[A-Za-z0-9_.[\]-]{1,100}$/;

/** The facts of a refusal. */
export function failureFacts({
  agentType,
  param,
  server,
  retryAfterMs,
}: Omit<Refusal, "code" | "message">): FailureFacts {
  return {
    ...(agentType === undefined ? {} : { agentType }),
    ...(param !== undefined && PARAM.test(param) ? { param } : {}),
    ...(server === undefined ? {} : { model: server.model, port: server.port }),
    ...(retryAfterMs === undefined ? {} : { retryAfterS: Math.ceil(retryAfterMs / 1000) }),
  };
}

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
    ...facts,
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
  })
  .check(z.meta({ id: "FailedRequest" }));
export type FailedRequest = z.infer<typeof FailedRequest>;
