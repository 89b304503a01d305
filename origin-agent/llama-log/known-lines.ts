// Classifies llama-server's output lines: a closed table of lines that contain nothing of what clients send. It has the
// lines that explain a start, an exit or a failure, and no others, because each llama.cpp release may change them. They
// are from llama.cpp at de3ff81 (September 2026) and its releases of 2025; each group names the file that prints them.
// A `{part}` is everything that may vary in a line; `PARTS` defines it.

/** Lines that pass unchanged. A run of spaces may have any length: llama-server pads its figures. */
const HARMLESS: readonly string[] = [
  // tools/server: start and exit
  "srv {fn}: loading model '{model}'",
  "srv {fn}: initializing, n_slots = {n}, n_ctx_slot = {n}, kv_unified = '{bool}'",
  "srv {fn}: model loaded",
  "srv {fn}: listening on http://{host}:{n}",
  "srv {fn}: operator(): cleaning up before exit...",
  // … in 2025
  "main: loading model",
  "main: model loaded",
  "main: server is listening on http://{host}:{n} - starting the main loop",

  // ggml-cuda.cu, llama-model.cpp, llama-kv-cache.cpp: what is on the GPU
  "Device {n}: {gpu}, compute capability {f}, VMM: {yes}",
  "Device {n}: {gpu}, compute capability {f}, VMM: {yes}, VRAM: {n} MiB",
  "load_tensors: offloaded {n}/{n} layers to GPU",
  "load_tensors: {buffer} model buffer size = {f} MiB",
  "llama_kv_cache: {buffer} KV buffer size = {f} MiB",

  // tools/server, common, ggml-cuda.cu, llama.cpp: failures
  "srv {fn}: failed to load model, '{model}'",
  "srv {fn}: failed to create_context with model '{model}'",
  "srv {fn}: exiting due to {cause} error",
  "main: exiting due to {cause} error",
  "srv {fn}: unauthorized: Invalid API Key",
  "srv {fn}: failed to find free space in the KV cache, retrying with smaller batch size, off = {n}, n_batch = {n}, ret = {n}",
  "warning: no usable GPU found, --gpu-layers option will be ignored",
  "ggml_cuda_init: failed to initialize CUDA: {cuda}",
  "ggml_backend_cuda_buffer_type_alloc_buffer: allocating {f} MiB on device {n}: cudaMalloc failed: {cuda}",
  "CUDA error: {cuda}",
];

/** Beginnings of lines that report a failure and may end with anything: only the text given here passes. */
const FAILURES: readonly (readonly [string, string])[] = [
  // tools/server/server.cpp, server-context.cpp
  ["srv {any}: got exception:", "a request failed with an exception"],
  ["srv {any}: got another exception:", "a request failed with two exceptions"],
  ["slot {any}: id {n} | task {n} | got exception:", "a task failed with an exception"],
  ["srv {any}: task id = {n}, error:", "a task failed"],
  ["srv {any}: {step}() failed:", "decoding failed"],
  ["srv {any}: failed to load model", "the model couldn't be loaded"],
  ["srv {any}: init: chat template parsing error:", "the chat template couldn't be parsed"],
  // tools/server/server-http.cpp
  ["srv {any}: couldn't bind HTTP server socket", "the port couldn't be bound"],
  // src/llama.cpp
  ["llama_model_load: error loading model:", "the model couldn't be loaded"],
  // src/llama-grammar.cpp, common/json-schema-to-grammar.cpp, common/sampling.cpp
  ["parse: error parsing grammar:", "a grammar couldn't be parsed"],
  ["invalid grammar:", "a grammar is invalid"],
  ["common_sampler_init: error initializing grammar sampler", "a grammar couldn't be used"],
  ["WARNING: JSON schema conversion was incomplete:", "a JSON schema was converted only in part"],
  // tools/server/server-common.h, common/chat.cpp
  ["Wrong type supplied for parameter", "a parameter has the wrong type"],
  ["common_chat_templates_support_enable_thinking:", "the chat template couldn't be applied"],
  ["common_chat_try_specialized_template:", "the chat template couldn't be applied"],
  // common/arg.cpp
  ["error: invalid argument:", "the binary doesn't know a flag"],
  ["error while handling argument", "the binary rejects a flag's value"],
  // ggml
  ["CUDA error", "a CUDA error"],
  ["ggml_cuda_init: failed to initialize", "CUDA couldn't be initialized"],
  ["{source}:{n}: GGML_ASSERT(", "an assertion failed"],
  ["terminate called after throwing", "the process ended with an exception"],
];

const PARTS: Readonly<Record<string, string>> = {
  n: String.raw`-?\d{1,10}`,
  f: String.raw`\d{1,9}(?:\.\d{1,6})?`,
  /** llama-server prints up to twelve characters of a function's name. */
  fn: anyOf("load_model init llama_server start main operator() update_slots".split(" ")),
  bool: "(?:true|false)",
  yes: "(?:yes|no)",
  host: String.raw`(?:127\.0\.0\.1|localhost|::1|\[::1\])`,
  cause: "(?:HTTP server|model loading)",
  step: "(?:pre_decode|decode|post_decode)",
  gpu: String.raw`NVIDIA(?: (?:GeForce|Tesla|Quadro|TITAN|RTX|GTX|Ti|SUPER|Laptop|GPU|Ada|Generation|Blackwell|PCIe|SXM[2-6]|NVL|HBM[23]e?|[ABHLPTV]?\d{1,4}[A-Z]?(?:-SXM[2-6])?(?:-\d{2,3}GB)?|\d{2,3}GB|D)){1,6}`,
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
  // These two may contain anything, so they appear only in `FAILURES`.
  any: String.raw`[\w()]{1,40}`,
  source: String.raw`[\w./+-]{1,200}`,
};

/** `[minutes.seconds.milliseconds.microseconds]` since llama-server's start, and the level (common/log.cpp). */
const STAMP = String.raw`((?:\d{1,7}\.\d\d\.\d\d\d\.\d\d\d )?(?:[IWED] )?) {0,8}`;

export type LineClass =
  | { readonly kind: "harmless" }
  /** `text` is from `FAILURES`; `stamp` is llama-server's own time and level. */
  | { readonly kind: "failure"; readonly stamp: string; readonly text: string }
  | { readonly kind: "withheld" };

export type LineClassifier = (line: string, isComplete: boolean) => LineClass;

/**
 * Creates the classifier for one server.
 * @param models names of its model: the values of `--model` and `--alias` in its command line
 */
export function lineClassifier(models: readonly string[]): LineClassifier {
  const parts = { ...PARTS, model: models.length === 0 ? "(?!)" : anyOf(models) };
  const harmless = new RegExp(
    `^${STAMP}(?:${HARMLESS.map((shape) => pattern(shape, parts)).join("|")}) {0,4}$`,
  );
  const failures = FAILURES.map(([shape, text]) => ({
    beginning: new RegExp(`^${STAMP}${pattern(shape, parts)}`),
    text,
  }));
  return function classify(line, isComplete) {
    if (isComplete && harmless.test(line)) return { kind: "harmless" };
    for (const { beginning, text } of failures) {
      const match = beginning.exec(line);
      if (match !== null) return { kind: "failure", stamp: match[1] ?? "", text };
    }
    return { kind: "withheld" };
  };
}

/** Converts a shape to a regular expression. Every repetition is bounded; only `PARTS` may vary. */
function pattern(shape: string, parts: Readonly<Record<string, string>>): string {
  return shape
    .split(/(\{[a-z]+\}| +)/)
    .map((piece) => {
      if (/^ +$/.test(piece)) return " {1,40}";
      const part = parts[/^\{([a-z]+)\}$/.exec(piece)?.[1] ?? ""];
      return part === undefined ? literal(piece) : `(?:${part})`;
    })
    .join("");
}

function anyOf(texts: readonly string[]): string {
  return `(?:${texts.map(literal).join("|")})`;
}

function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, String.raw`\$&`);
}
