// The lines of llama-server's own output that are known to contain nothing from clients. A closed table: other lines don't
// pass. Source: llama.cpp at de3ff81 (September 2026) and its releases of 2025; comments name the file that prints a line.
// A `{part}` is the only variable text of a line; `PARTS` defines each.

/** Lines that pass as they are. Runs of spaces may be of any length: llama-server pads its numbers. */
const HARMLESS: readonly string[] = [
  // tools/server/server.cpp
  "srv {fn}: initializing ...",
  "srv {fn}: model loaded",
  "srv {fn}: listening on http://{host}:{n}",
  "srv {fn}: operator(): cleaning up before exit...",
  "srv {fn}: notice: server default port will be changed to :9931 in a future release (ref: https://github.com/ggml-org/llama.cpp/pull/26508)",
  "srv {fn}: embeddings enabled with n_batch ({n}) > n_ubatch ({n})",
  "srv {fn}: setting n_batch = n_ubatch = {n} to avoid assertion failure",
  "srv {fn}: failed to initialize HTTP server",
  "srv {fn}: exiting due to HTTP server error",
  "srv {fn}: exiting due to model loading error",
  "Received second interrupt, terminating immediately.",
  // … as it was until 2025
  "main: loading model",
  "main: model loaded",
  "main: HTTP server is listening, hostname: {host}, port: {n}, http threads: {n}",
  "main: server is listening on http://{host}:{n} - starting the main loop",
  "main: server is listening on http://{host}:{n}",
  "main: starting the main loop...",
  "main: exiting due to model loading error",

  // tools/server/server-http.cpp
  "srv {fn}: The UI is disabled",
  "srv {fn}: Use --ui/--no-ui (or deprecated --webui/--no-webui) to enable/disable",
  "srv {fn}: using {n} threads for HTTP server",
  "srv {fn}: running without SSL",
  "srv {fn}: unauthorized: Invalid API Key",
  "srv {fn}: request: {method} {route} {host} {status}",
  "srv {fn}: done request: {method} {route} {host} {status}",
  "Web UI is disabled",

  // tools/server/server-context.cpp: start
  "srv {fn}: loading model '{model}'",
  "srv {fn}: local path '{model}'",
  "srv {fn}: initializing, n_slots = {n}, n_ctx_slot = {n}, kv_unified = '{bool}'",
  "srv {fn}: initializing slots, n_slots = {n}",
  "srv {fn}: the slot context ({n}) exceeds the training context of the model ({n}) - capping",
  "srv {fn}: --cache-idle-slots requires --cache-ram, disabling",
  "srv {fn}: prompt cache is disabled - use `--cache-ram N` to enable it",
  "srv {fn}: for more info see https://github.com/ggml-org/llama.cpp/pull/16391",
  "srv {fn}: context checkpoints enabled, max = {n}, min spacing = {n}",
  "srv {fn}: context checkpoints disabled",
  "srv {fn}: init: chat template, thinking = {n}",
  "srv {fn}: failed to load model, '{model}'",
  "srv {fn}: failed to create_context with model '{model}'",
  "slot {fn}: id {n} | task {n} | new slot, n_ctx = {n}",
  "slot {fn}: id {n} | task {n} | new slot n_ctx_slot = {n}",

  // tools/server/server-context.cpp: calls
  "srv {fn}: all slots are idle",
  "srv {fn}: no tokens to decode",
  "srv {fn}: purging slot {n} with {n} tokens",
  "srv {fn}: failed to launch slot with task, id_task = {n}",
  "srv {fn}: failed to find free space in the KV cache, retrying with smaller batch size, off = {n}, n_batch = {n}, ret = {n}",
  "slot {fn}: id {n} | task {n} | selected slot by id ({n})",
  "slot {fn}: id {n} | task {n} | selected slot by LRU, t_last = {time}",
  "slot {fn}: id {n} | task {n} | selected slot by LCP similarity, {sim} = {f} (> {f} thold), f_keep = {f}",
  "slot {fn}: id {n} | task {n} | selected slot by lcs similarity, lcs_len = {n}, similarity = {f} (> {f} thold)",
  "slot {fn}: id {n} | task {n} | processing task, is_child = {n}",
  "slot {fn}: id {n} | task {n} | processing task",
  "slot {fn}: id {n} | task {n} | new prompt, n_ctx_slot = {n}, n_keep = {n}, {tokens} = {n}",
  "slot {fn}: id {n} | task {n} | kv cache rm [{n}, end)",
  "slot {fn}: id {n} | task {n} | n_tokens = {n}, memory_seq_rm [{n}, end)",
  "slot {fn}: id {n} | task {n} | cached n_tokens = {n}, memory_seq_rm [{n}, end)",
  "slot {fn}: id {n} | task {n} | prompt processing progress, {tokens} = {n}, {tokens} = {n}, progress = {f}",
  "slot {fn}: id {n} | task {n} | prompt processing, n_tokens = {n}, progress = {f}, t = {f} s / {f} tokens per second",
  "slot {fn}: id {n} | task {n} | prompt done, {tokens} = {n}, {tokens} = {n}",
  "slot {fn}: id {n} | task {n} | init sampler, took {f} ms, tokens: text = {n}, total = {n}",
  "slot {fn}: id {n} | task {n} | n_gen = {n}, tg = {f} t/s, tg_3s = {f} t/s",
  "slot {fn}: id {n} | task {n} | n_decoded = {n}, tg = {f} t/s",
  "slot {fn}: id {n} | task {n} | clearing prompt with {n} tokens",
  "slot {fn}: id {n} | task {n} | empty prompt - releasing slot",
  "slot {fn}: id {n} | task {n} | slot context shift, n_keep = {n}, n_left = {n}, n_discard = {n}",
  "slot {fn}: id {n} | task {n} | need to evaluate at least 1 token for each active slot ({tokens} = {n}, {tokens} = {n})",
  "slot {fn}: id {n} | task {n} | n_past was set to {n}",
  "slot {fn}: id {n} | task {n} | stop processing: {tokens} = {n}, truncated = {n}",
  "slot {fn}: id {n} | task {n} | ",
  "slot {fn}: id {n} | task {n} | {timing}",
  "{timing}",

  // tools/server/server-queue.cpp
  "srv {fn}: cancel task, id_task = {n}",

  // common/common.cpp, common/arg.cpp
  "{cmn}{fn}: verbosity = {n} (adjust with the `-lv N` CLI arg)",
  "{cmn}{fn}: common_params_print_info: verbosity = {n} (adjust with the `-lv N` CLI arg)",
  "{cmn}{fn}: llama threadpool init, n_threads = {n}",
  "{cmn}{fn}: warming up the model with an empty run - please wait ... (--no-warmup to disable)",
  "{cmn}{fn}: KV cache shifting is not supported for this context, disabling KV cache shifting",
  "{cmn}{fn}: failed to load model '{model}'",
  "{cmn}{fn}: failed to create context with model '{model}'",
  "build: {n} ({hex}) with {compiler} for {target}",
  "system info: n_threads = {n}, n_threads_batch = {n}, total_threads = {n}",
  "warning: no usable GPU found, --gpu-layers option will be ignored",
  "warning: one possible reason is that llama.cpp was compiled without GPU support",
  "warning: consult docs/build.md for compilation instructions",

  // ggml/src/ggml-cuda/ggml-cuda.cu
  "ggml_cuda_init: GGML_CUDA_FORCE_MMQ: {yes}",
  "ggml_cuda_init: GGML_CUDA_FORCE_CUBLAS: {yes}",
  "ggml_cuda_init: found {n} CUDA devices:",
  "ggml_cuda_init: found {n} CUDA devices (Total VRAM: {n} MiB):",
  "Device {n}: {gpu}, compute capability {f}, VMM: {yes}",
  "Device {n}: {gpu}, compute capability {f}, VMM: {yes}, VRAM: {n} MiB",
  "ggml_cuda_init: failed to initialize CUDA: {cuda}",
  "ggml_backend_cuda_buffer_type_alloc_buffer: allocating {f} MiB on device {n}: cudaMalloc failed: {cuda}",
  "CUDA error: {cuda}",

  // src/llama.cpp, src/llama-model.cpp, src/llama-context.cpp, src/llama-kv-cache.cpp
  "llama_model_load_from_file_impl: using device CUDA{n} ({gpu}) - {n} MiB free",
  "llama_model_load_from_file_impl: using device CUDA{n} ({gpu}) ({pci}) - {n} MiB free",
  "llama_prepare_model_devices: using device CUDA{n} ({gpu}) ({pci}) - {n} MiB free",
  "print_info: {figure} = {value}",
  "load_tensors: loading model tensors, this can take a while... ({mmap} = {bool})",
  "load_tensors: offloading output layer to GPU",
  "load_tensors: offloading {n} repeating layers to GPU",
  "load_tensors: offloaded {n}/{n} layers to GPU",
  "load_tensors: {buffer} model buffer size = {f} MiB",
  "llama_context: {figure} = {value}",
  "{context}: {buffer} output buffer size = {f} MiB",
  "{context}: {buffer} compute buffer size = {f} MiB",
  "{context}: {buffer} KV buffer size = {f} MiB",
  "{context}: graph nodes = {n}",
  "{context}: graph splits = {n}",
  "{context}: size = {f} MiB ({pad}{n} cells, {n} layers, {n}/{n} seqs), K ({kv}): {f} MiB, V ({kv}): {f} MiB",
  "failed to parse grammar",
  "llama_model_load_from_file_impl: failed to load model",
  "{dots}",
];

/** Lines whose beginning states the failure and whose end may echo anything: only our own text for them passes. */
const FAILURES: readonly (readonly [string, string])[] = [
  // tools/server/server.cpp, server-context.cpp
  ["srv {fn}: got exception:", "a request failed with an exception"],
  ["srv {fn}: got another exception:", "a request failed with two exceptions"],
  ["slot {fn}: id {n} | task {n} | got exception:", "a task failed with an exception"],
  ["srv {fn}: task id = {n}, error:", "a task failed"],
  ["srv {fn}: {step}() failed:", "decoding failed"],
  ["srv {fn}: failed to load model", "the model couldn't be loaded"],
  ["srv {fn}: init: chat template parsing error:", "the chat template couldn't be parsed"],
  // tools/server/server-http.cpp
  ["srv {fn}: couldn't bind HTTP server socket", "the port couldn't be bound"],
  // src/llama.cpp
  ["llama_model_load: error loading model:", "the model couldn't be loaded"],
  // src/llama-grammar.cpp, common/json-schema-to-grammar.cpp, common/sampling.cpp
  ["parse: error parsing grammar:", "a grammar couldn't be parsed"],
  ["invalid grammar:", "a grammar is invalid"],
  ["common_sampler_init: error initializing grammar sampler", "a grammar couldn't be used"],
  ["WARNING: JSON schema conversion was incomplete:", "a JSON schema was converted in part"],
  // tools/server/server-common.h, common/chat.cpp
  ["Wrong type supplied for parameter", "a parameter has the wrong type"],
  ["common_chat_templates_support_enable_thinking:", "the chat template couldn't be applied"],
  ["common_chat_try_specialized_template:", "the chat template couldn't be applied"],
  // common/arg.cpp
  ["error: invalid argument:", "the binary doesn't know a flag"],
  ["error while handling argument", "the binary refuses a flag's value"],
  // ggml
  ["CUDA error", "a CUDA error"],
  ["ggml_cuda_init: failed to initialize", "CUDA couldn't be initialized"],
  ["{source}:{n}: GGML_ASSERT(", "an assertion failed"],
  ["terminate called after throwing", "it ended by an exception"],
];

const FUNCTIONS =
  "get_availabl launch_slot_ print_timing print_timin release update_slots operator() load_model init stop send_error " +
  "process_sing llama_server init_listene log_server_r main start start_loop cancel_tasks common_param common_init_ " +
  "init_sampler server_strea clear_slot prompt_clear prompt_load prompt_save try_clear_id apply_checkp decode " +
  "context_shift get_slot_by_ launch_task_ send_partial";

const PARTS: Readonly<Record<string, string>> = {
  n: String.raw`-?\d{1,10}`,
  /** Microseconds since the server began. */
  time: String.raw`-?\d{1,15}`,
  f: String.raw`-?(?:\d{1,9}(?:\.\d{1,6})?(?:e[+-]\d{2})?|nan|inf)`,
  fn: anyOf(FUNCTIONS.split(" ")),
  cmn: "(?:cmn {1,20})?",
  bool: "(?:true|false)",
  yes: "(?:yes|no)",
  host: String.raw`(?:127\.0\.0\.1|localhost|::1|\[::1\])`,
  method: "(?:GET|POST|HEAD|OPTIONS)",
  status: String.raw`[1-5]\d\d`,
  // The routes that the agent calls; the path of any other request can hold anything.
  route: anyOf(
    (
      "/health /props /slots /metrics /v1/models /models /v1/chat/completions /v1/completions /v1/embeddings " +
      "/v1/responses /v1/messages /v1/messages/count_tokens /v1/rerank /tokenize /detokenize /apply-template"
    ).split(" "),
  ),
  pad: " {0,12}",
  sim: "(?:sim_best|f_sim_best)",
  tokens: String.raw`(?:n_tokens|n_past|n_prompt_tokens|task\.n_tokens|task\.n_tokens\(\)|batch\.n_tokens)`,
  step: "(?:pre_decode|decode|post_decode)",
  hex: "[0-9a-f]{7,12}",
  compiler: String.raw`(?:GNU|Clang|AppleClang|cc \(Debian \d{1,2}\.\d\.\d-\d{1,2}\)|cc \(Ubuntu \d{1,2}\.\d\.\d-[\dubuntu~.]{1,20}\)) \d{1,2}\.\d\.\d`,
  target: "(?:Linux|Darwin) (?:x86_64|aarch64|arm64)|(?:x86_64|aarch64)-linux-gnu",
  gpu: String.raw`NVIDIA(?: (?:GeForce|Tesla|Quadro|TITAN|RTX|GTX|Ti|SUPER|Laptop|GPU|Ada|Generation|Blackwell|PCIe|SXM[2-6]|NVL|HBM[23]e?|[ABHLPTV]?\d{1,4}[A-Z]?(?:-SXM[2-6])?(?:-\d{2,3}GB)?|\d{2,3}GB|D)){1,6}`,
  pci: String.raw`[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.\d|unknown id`,
  cuda: anyOf([
    "out of memory",
    "an illegal memory access was encountered",
    "unspecified launch failure",
    "the launch timed out and was terminated",
    "uncorrectable ECC error encountered",
    "device-side assert triggered",
    "no CUDA-capable device is detected",
    "CUDA driver version is insufficient for CUDA runtime version",
    "unknown error",
  ]),
  buffer: String.raw`(?:CPU|CPU_Mapped|CPU_REPACK|CPU_AARCH64|CUDA\d{1,2}|CUDA_Host|Host)`,
  context: "(?:llama_context|sched_reserve|llama_kv_cache|llama_kv_cache_unified|llama_kv_cache_init)",
  kv: "(?:f16|f32|bf16|q8_0|q5_0|q5_1|q4_0|q4_1)",
  mmap: "(?:mmap|use_mmap)",
  figure: anyOf(
    (
      "n_ctx_train n_ctx_orig_yarn n_ctx n_ctx_seq n_ctx_per_seq n_seq_max n_batch n_ubatch causal_attn flash_attn " +
      "kv_unified freq_base freq_scale n_embd n_layer n_head n_head_kv n_rot n_swa n_gqa n_ff n_expert n_expert_used n_vocab " +
      "n_merges vocab_only"
    )
      .split(" ")
      .concat("file size", "model params", "causal attn", "pooling type", "rope type"),
  ),
  value: String.raw`(?:-?\d{1,9}(?:\.\d{1,6})?(?:e[+-]\d{2})?(?: (?:K|M|B|T|MiB|GiB))?(?: \(\d{1,2}\.\d{1,2} BPW\))?|true|false|enabled|disabled|auto)`,
  timing: String.raw`(?:prompt eval time|eval time|total time|graphs reused|draft acceptance) {1,40}= {1,40}{f}(?: ms)?(?: / {1,40}{n} (?:tokens|runs)(?: {1,8}\( {0,40}{f} ms per token, {1,40}{f} tokens per second\))?)?`,
  source: String.raw`[\w./+-]{1,200}`,
  dots: String.raw`\.{1,100}`,
};

/** `[minutes.seconds.milliseconds.microseconds]` since its start, and the level (common/log.cpp). */
const STAMP = String.raw`((?:\d{1,7}\.\d\d\.\d\d\d\.\d\d\d )?(?:[IWED] )?) {0,8}`;

/** The judgement of a line. */
export type Screened =
  | { readonly kind: "harmless" }
  /** Replaced by our own text; `stamp` is llama-server's time and level. */
  | { readonly kind: "failure"; readonly stamp: string; readonly text: string }
  | { readonly kind: "withheld" };

/**
 * Judges lines of one server.
 * @param models the names of its model file: the values of `--model` and `--alias` on its command line
 */
export function lineJudge(models: readonly string[]): (line: string, whole: boolean) => Screened {
  const parts = { ...PARTS, model: models.length === 0 ? "(?!)" : anyOf(models) };
  const harmless = new RegExp(
    `^${STAMP}(?:${HARMLESS.map((shape) => pattern(shape, parts)).join("|")}) {0,4}$`,
  );
  const failures = FAILURES.map(([shape, text]) => ({
    begins: new RegExp(`^${STAMP}${pattern(shape, parts)}`),
    text,
  }));
  return function judge(line, whole) {
    if (whole && harmless.test(line)) return { kind: "harmless" };
    for (const { begins, text } of failures) {
      const found = begins.exec(line);
      if (found !== null) return { kind: "failure", stamp: found[1] ?? "", text };
    }
    return { kind: "withheld" };
  };
}

/** A shape as the source of a regular expression: every repetition bounded, nothing open but what `PARTS` names. */
function pattern(shape: string, parts: Readonly<Record<string, string>>): string {
  return shape
    .split(/(\{[a-z]+\}| +)/)
    .map((piece) => {
      if (/^ +$/.test(piece)) return " {1,40}";
      const part = parts[/^\{([a-z]+)\}$/.exec(piece)?.[1] ?? ""];
      if (part === undefined) return literal(piece);
      return `(?:${part.replace(/\{([nf])\}/g, (_whole, name: string) => parts[name] ?? "")})`;
    })
    .join("");
}

function anyOf(words: readonly string[]): string {
  return `(?:${words.map(literal).join("|")})`;
}

function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, String.raw`\$&`);
}
