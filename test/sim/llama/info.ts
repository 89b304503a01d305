// The server's reports about itself: `/props`, `/v1/models`, `/slots` (transcripts of these names).
import { randomId } from "./choice.ts";
import { BUILD } from "./dialect.ts";
import { slotContext } from "./flags.ts";
import type { Generation } from "./generation.ts";
import { toJson } from "./json.ts";
import { paramsView } from "./params.ts";
import type { Sim } from "./sim.ts";
import type { Slot } from "./slots.ts";
import { TEMPLATES } from "./template.ts";

const MEDIA_MARKER = `<__media_${randomId()}__>`;

export function props({ settings }: Sim): string {
  return toJson({
    default_generation_settings: { params: paramsView(null), n_ctx: slotContext(settings) },
    total_slots: settings.parallel,
    model_alias: settings.alias,
    model_ftype: "F16",
    model_path: settings.modelPath,
    modalities: { vision: false, video: false, audio: false },
    media_marker: MEDIA_MARKER,
    endpoint_slots: settings.slots,
    endpoint_props: false,
    endpoint_metrics: settings.metrics,
    ui: settings.ui,
    ui_settings: {},
    chat_template: TEMPLATES[settings.chatTemplate].source,
    chat_template_caps: {
      supports_object_arguments: false,
      supports_parallel_tool_calls: false,
      supports_preserve_reasoning: false,
      supports_reasoning_effort: false,
      supports_string_content: true,
      supports_system_role: true,
      supports_tool_calls: false,
      supports_tools: false,
      supports_typed_content: false,
    },
    bos_token: "<s>",
    eos_token: "</s>",
    build_info: BUILD,
    is_sleeping: false,
    cors_proxy_enabled: false,
  });
}

export function models({ settings, startedAt }: Sim): string {
  const { alias } = settings;
  const meta = { vocab_type: 1, n_vocab: 32_000, n_ctx: slotContext(settings), n_ctx_train: 4_096 };
  const listed = {
    name: alias,
    model: alias,
    modified_at: "",
    size: "",
    digest: "",
    type: "model",
    description: "",
    tags: [""],
    capabilities: ["completion"],
    parameters: "",
    details: {
      parent_model: "",
      format: "gguf",
      family: "",
      families: [""],
      parameter_size: "",
      quantization_level: "",
    },
  };
  const model = {
    id: alias,
    aliases: [alias],
    tags: [],
    object: "model",
    created: startedAt,
    owned_by: "llamacpp",
    meta: { ...meta, n_embd: 64, n_params: 4_190_528, size: 8_381_696, ftype: "F16" },
  };
  return toJson({ models: [listed], object: "list", data: [model] });
}

/** Transcripts "slots-idle", "slots-busy", "slots-after-abort", "slots-progress". */
export function slots({ pool }: Sim): string {
  pool.nextTask();
  return toJson(pool.slots.map((slot) => slotView(slot, pool.context)));
}

function slotView(slot: Slot, context: number): Record<string, unknown> {
  const { id, busy, last } = slot;
  const view = { id, n_ctx: context, speculative: false, is_processing: busy !== null };
  if (!last) return view;
  return {
    ...view,
    id_task: last.task,
    n_prompt_tokens: busy ? busy.cached + busy.processed + busy.generated.length : slot.tokens.length,
    n_prompt_tokens_processed: busy?.processed ?? 0,
    n_prompt_tokens_cache: busy?.cached ?? 0,
    params: paramsView(last.work.params),
    next_token: [nextToken(last, busy !== null)],
  };
}

function nextToken(last: Generation, busy: boolean): Record<string, unknown> {
  const { predict } = last.work.params;
  const decoded = last.generated.length;
  return {
    has_next_token: busy || last.end === "aborted",
    has_new_line: last.hasNewLine,
    n_remain: busy && predict >= 0 ? predict - decoded : -1,
    n_decoded: busy ? decoded : 0,
  };
}
