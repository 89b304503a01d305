// What a llama-server says of its slots and its settings. Only named fields are taken from its answers;
// `/props` also holds templates and paths.
import * as z from "zod";
import { llamaJson } from "./llama-json.ts";

/** Largest answer read, bytes: a busy slot is 1.2 KB, a chat template some tens. */
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

export interface ServerProps {
  readonly slots: number;
  /** Tokens of context of ONE slot. */
  readonly contextPerSlot: number;
  readonly alias: string | null;
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

const Props = z.object({
  total_slots: count.positive(),
  default_generation_settings: z.object({ n_ctx: count.positive() }),
  model_alias: z.string().min(1).max(512).nullable().catch(null),
});

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

/** How the server was started; null where it doesn't say, also while it is loading. */
export async function readProps(
  origin: string,
  apiKey: string,
  signal?: AbortSignal,
): Promise<ServerProps | null> {
  const props = Props.safeParse(
    await llamaJson(`${origin}/props`, apiKey, { maxBytes: MAX_PROBE_BYTES, signal }),
  );
  if (!props.success) return null;
  const { total_slots: slots, default_generation_settings: settings, model_alias: alias } = props.data;
  return { slots, contextPerSlot: settings.n_ctx, alias };
}
