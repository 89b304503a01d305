// The usage record of a call: each box sends its records in order, and the ledger books each one once. Names and numbers
// only: no field can hold a prompt or an answer.
import * as z from "zod/mini";
import { MAX_NAME_LENGTH } from "./limits.ts";

/**
 * How a call ended. `complete`: the answer is complete. `aborted`: the client disconnected. `broken`: the server died or
 * stalled during the answer. `refused`: no server accepted it. `expired`: its deadline passed. `interrupted`: the agent
 * itself died, so the end is unknown; the agent that finds the journal books it.
 */
const OUTCOMES = ["complete", "aborted", "broken", "refused", "expired", "interrupted"] as const;
export type Outcome = (typeof OUTCOMES)[number];

const NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;

/** Whether a text is valid as a name in a record. Other texts are never written, not even truncated. */
export const isRecordName = (text: string): boolean => NAME.test(text);

/** A valid name in a record. */
export const recordName = z.string().check(z.maxLength(MAX_NAME_LENGTH), z.regex(NAME));
const count = z.int().check(z.gte(0));
/** A token count; null if it is unknown, which is not 0. */
const tokens = z.nullable(count);

/** What is known of a call when it is dispatched. */
export const CallStart = z.object({
  callId: recordName,
  keyId: recordName,
  agentType: recordName,
  model: recordName,
  port: z.int().check(z.gte(1), z.lte(65_535)),
  /** In milliseconds since 1970, by the box's clock. */
  startedAt: count,
});
export type CallStart = Readonly<z.infer<typeof CallStart>>;

/** What is known of it when it ends. */
export const CallEnd = z.object({
  outcome: z.enum(OUTCOMES),
  promptTokens: tokens,
  /** The part of the prompt's tokens that came from a slot's cache. */
  cachedTokens: tokens,
  /** Of all choices together. */
  completionTokens: tokens,
  choices: count,
  /** Whether the counts are our estimate instead of the server's. */
  estimated: z.boolean(),
  durationMs: z.nullable(count),
});
export type CallEnd = Readonly<z.infer<typeof CallEnd>>;

/** A call that ended, as a box sends it. `seq` increases within an epoch and identifies the call in it. */
export const UsageCall = z.object({ seq: count, ...CallStart.shape, ...CallEnd.shape });
export type UsageCall = Readonly<z.infer<typeof UsageCall>>;
