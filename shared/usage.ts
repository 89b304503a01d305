// What a call is booked as: the record that leaves a box, once, in order, and is added up in the ledger.
// Names and numbers only: there is no field that could hold a prompt or an answer.
import * as z from "zod";
import { MAX_NAME_LENGTH } from "./limits.ts";

/**
 * How a call ended. `complete`: whole. `aborted`: its client left. `broken`: its server died or went silent in the
 * middle. `refused`: no server took it. `expired`: its deadline came. `interrupted`: the agent itself died, so
 * nobody saw the end; no agent writes this, the one that finds the journal books it.
 */
export const OUTCOMES = ["complete", "aborted", "broken", "refused", "expired", "interrupted"] as const;
export type Outcome = (typeof OUTCOMES)[number];

const NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;

/** Whether a text may stand as a name in a record. What may not is never written, not even cut. */
export const isRecordName = (text: string): boolean => NAME.test(text);

/** A name as it may stand in a record. */
export const recordName = z.string().max(MAX_NAME_LENGTH).regex(NAME);
const count = z.int().min(0);
/** What was counted; null is unknown, which is not 0. */
const tokens = count.nullable();

/** What is known of a call at its dispatch. */
export const CallStart = z.object({
  callId: recordName,
  keyId: recordName,
  agentType: recordName,
  model: recordName,
  port: z.int().min(1).max(65_535),
  /** The box's wall clock, milliseconds since 1970. */
  startedAt: count,
});
export type CallStart = Readonly<z.infer<typeof CallStart>>;

/** What is known of it at its end. */
export const CallEnd = z.object({
  outcome: z.enum(OUTCOMES),
  promptTokens: tokens,
  /** How many of the prompt's tokens came from a slot's cache. */
  cachedTokens: tokens,
  /** Over all choices. */
  completionTokens: tokens,
  choices: count,
  /** Whether the counts are ours rather than the server's own. */
  estimated: z.boolean(),
  durationMs: count.nullable(),
});
export type CallEnd = Readonly<z.infer<typeof CallEnd>>;

/** A call that ended, as it is handed on. `seq` grows along an epoch and names the call within it. */
export const UsageCall = z.object({ seq: count, ...CallStart.shape, ...CallEnd.shape });
export type UsageCall = Readonly<z.infer<typeof UsageCall>>;
