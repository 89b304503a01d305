// What a llama-server says of its slots. Only named fields are taken from its answers.
import * as z from "zod";
import { llamaJson } from "./llama-json.ts";

/** Largest answer read, bytes: a busy slot is 1.2 KB. */
const MAX_PROBE_BYTES = 1024 * 1024;

export interface SlotReading {
  readonly id: number;
  readonly busy: boolean;
  /** Changes with each task; null before a slot's first. */
  readonly task: number | null;
  /** Tokens of the answer so far. An idle slot says 0 or nothing. */
  readonly decoded: number | null;
  /** Prompt tokens of the call, as far as known. It grows with the answer. */
  readonly promptTokens: number | null;
  /** Prompt tokens processed so far, those from the cache left out. */
  readonly promptProcessed: number | null;
}

const count = z.number().int().min(0);
const countOrNull = count.nullable().catch(null);

const NextToken = z.object({ n_decoded: countOrNull });

const Slots = z
  .array(
    z.object({
      id: count,
      is_processing: z.boolean(),
      id_task: countOrNull.default(null),
      n_prompt_tokens: countOrNull.default(null),
      n_prompt_tokens_processed: countOrNull.default(null),
      // A list with one member; older servers give the member itself.
      next_token: z
        .union([z.tuple([NextToken], z.unknown()), NextToken])
        .nullable()
        .catch(null)
        .default(null),
    }),
  )
  .max(1_024);

/**
 * The server's slots; null where it doesn't say: no answer within a second, no `--slots`, a wrong key.
 * @param origin `http://127.0.0.1:8085`
 */
export async function readSlots(
  origin: string,
  apiKey: string,
  signal?: AbortSignal,
): Promise<readonly SlotReading[] | null> {
  const slots = Slots.safeParse(
    await llamaJson(`${origin}/slots`, apiKey, { maxBytes: MAX_PROBE_BYTES, signal }),
  );
  if (!slots.success) return null;
  return slots.data.map((slot) => {
    const next = Array.isArray(slot.next_token) ? slot.next_token[0] : slot.next_token;
    return {
      id: slot.id,
      busy: slot.is_processing,
      task: slot.id_task,
      decoded: next?.n_decoded ?? null,
      promptTokens: slot.n_prompt_tokens,
      promptProcessed: slot.n_prompt_tokens_processed,
    };
  });
}
