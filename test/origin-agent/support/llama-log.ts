// The output of a real llama-server (llama.cpp de3ff81, CPU build, a tiny random model): its start, calls, and the
// failures that repeat what the client sent. The client's own text is `MARK` here.
export const MODEL = "/srv/models/tiny.gguf";
export const MARK = "zebra-Quartz";

/** `+` marks the lines that pass, `-` the harmless lines that are only counted. */
const lines = (recorded: string, marks: string): string =>
  recorded
    .split("\n")
    .filter((line) => marks.includes(line.slice(0, 1)) && line !== "")
    .map((line) => `${line.slice(2)}\n`)
    .join("");

const RECORDED_DAY = `\
- 0.00.011.184 I srv  llama_server: initializing ...
- 0.00.014.716 I cmn  common_param: common_params_print_info: verbosity = 3 (adjust with the \`-lv N\` CLI arg)
- 0.00.027.168 I srv  init_listene: The UI is disabled
- 0.00.027.168 I srv  init_listene: Use --ui/--no-ui (or deprecated --webui/--no-webui) to enable/disable
+ 0.00.029.631 I srv    load_model: loading model '${MODEL}'
- 0.00.203.942 I cmn          init: llama threadpool init, n_threads = 1
+ 0.00.211.826 I srv    load_model: initializing, n_slots = 2, n_ctx_slot = 2048, kv_unified = 'false'
- 0.00.211.959 W srv          init: --cache-idle-slots requires --cache-ram, disabling
+ 0.00.213.812 I srv  llama_server: model loaded
+ 0.00.213.828 I srv  llama_server: listening on http://127.0.0.1:47811
- 0.04.025.260 I slot get_availabl: id  1 | task -1 | selected slot by LRU, t_last = -1
- 0.04.025.345 I slot launch_slot_: id  1 | task 0 | processing task, is_child = 0
- 0.04.044.900 I slot print_timing: id  1 | task 0 | prompt eval time =       3.28 ms /    18 tokens (    0.18 ms per token,  5489.48 tokens per second)
- 0.04.044.937 I slot print_timing: id  1 | task 0 |        eval time =      16.25 ms /    12 tokens (    1.48 ms per token,   676.88 tokens per second)
- 0.04.044.943 I slot print_timing: id  1 | task 0 |       total time =      19.53 ms /    30 tokens
- 0.04.044.948 I slot print_timing: id  1 | task 0 |    graphs reused =         11
- 0.04.045.307 I slot      release: id  1 | task 0 | stop processing: n_tokens = 29, truncated = 0
- 0.04.058.730 I slot get_availabl: id  1 | task -1 | selected slot by LCP similarity, f_sim_best = 1.000 (> 0.100 thold), f_keep = 0.621
- 0.04.163.047 W srv          stop: cancel task, id_task = 13
- 0.04.375.849 I slot get_availabl: id  0 | task -1 | selected slot by LRU, t_last = 3858679794
+ 0.04.405.992 W srv    operator(): unauthorized: Invalid API Key
+ 0.05.771.169 I srv    operator(): operator(): cleaning up before exit...
`;

/** The same at a higher verbosity, of a GPU build, of earlier versions and of failures. */
const RECORDED_ELSEWHERE = `\
- 0.00.007.875 I srv          init: using 6 threads for HTTP server
- 0.00.139.916 I print_info: n_ctx_train           = 4096
- 0.00.117.108 I print_info: file size   = 32.50 MiB (32.00 BPW) 
- 0.00.140.126 I print_info: model params          = 8.03 B
+ 0.00.140.599 I load_tensors:   CPU_Mapped model buffer size =    32.50 MiB
+ load_tensors: offloaded 33/33 layers to GPU
+ load_tensors:        CUDA0 model buffer size =  6282.97 MiB
+ llama_kv_cache:      CUDA0 KV buffer size =   272.00 MiB
- 0.00.141.159 I llama_context: flash_attn            = enabled
- 0.00.142.178 I llama_kv_cache: size =    2.12 MiB (  2048 cells,   2 layers,  2/2 seqs), K (q8_0):    1.06 MiB, V (q8_0):    1.06 MiB
- 0.00.150.739 I srv  update_slots: all slots are idle
- 0.03.081.982 I slot   operator(): id  1 | task 0 | new prompt, n_ctx_slot = 2048, n_keep = 0, task.n_tokens = 18
- 0.03.081.984 I slot   operator(): id  1 | task 0 | cached n_tokens = 0, memory_seq_rm [0, end)
- 0.03.082.022 I slot init_sampler: id  1 | task 0 | init sampler, took 0.00 ms, tokens: text = 18, total = 18
- ggml_cuda_init: found 1 CUDA devices:
+   Device 0: NVIDIA GeForce RTX 3090, compute capability 8.6, VMM: yes
+   Device 0: NVIDIA GeForce RTX 3090, compute capability 8.6, VMM: yes, VRAM: 24124 MiB
+   Device 1: NVIDIA H100 80GB HBM3, compute capability 9.0, VMM: yes
+   Device 2: NVIDIA A100-SXM4-40GB, compute capability 8.0, VMM: yes
- llama_model_load_from_file_impl: using device CUDA0 (NVIDIA GeForce RTX 3090) (0000:01:00.0) - 23887 MiB free
+ ggml_backend_cuda_buffer_type_alloc_buffer: allocating 6282.97 MiB on device 0: cudaMalloc failed: out of memory
+ CUDA error: an illegal memory access was encountered
- build: 4589 (eb7cf15a) with cc (Debian 12.2.0-14) 12.2.0 for x86_64-linux-gnu
- main: HTTP server is listening, hostname: 127.0.0.1, port: 9101, http threads: 15
+ main: server is listening on http://127.0.0.1:9101 - starting the main loop
- slot launch_slot_: id  0 | task 12 | processing task
- slot update_slots: id  0 | task 12 | prompt processing progress, n_past = 18, n_tokens = 18, progress = 1.000000
- slot      release: id  0 | task 12 | stop processing: n_past = 29, truncated = 0
- slot print_timing: id  0 | task 12 | 
- prompt eval time =      39.26 ms /    18 tokens (    2.18 ms per token,   458.47 tokens per second)
-        eval time =     316.25 ms /    12 tokens (   26.35 ms per token,    37.94 tokens per second)
-       total time =     355.51 ms /    30 tokens
- srv  log_server_r: request: POST /v1/chat/completions 127.0.0.1 200
- srv  log_server_r: done request: GET /health 127.0.0.1 200
- ....................................................................................................
+ srv    load_model: failed to load model, '${MODEL}'
+ srv    load_model: failed to create_context with model '${MODEL}'
+ srv  llama_server: exiting due to model loading error
+ main: exiting due to model loading error
+ srv  llama_server: exiting due to HTTP server error
+ srv  update_slots: failed to find free space in the KV cache, retrying with smaller batch size, off = 0, n_batch = 256, ret = 1
+ warning: no usable GPU found, --gpu-layers option will be ignored
+ ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected
`;

/** The output of a normal day. */
export const PLAIN_DAY = lines(RECORDED_DAY, "+-");
export const OTHER_BUILDS = lines(RECORDED_ELSEWHERE, "+-");

/** Lines that pass, and harmless lines that are only counted. */
export const PASSING = lines(RECORDED_DAY + RECORDED_ELSEWHERE, "+");
export const COUNTED = lines(RECORDED_DAY + RECORDED_ELSEWHERE, "-");

/** Output for failed requests, with the client's text in it. */
export const FAILURES: readonly string[] = [
  `0.04.192.784 W srv    operator(): got exception: {"error":{"code":500,"message":"[json.exception.parse_error.101] parse error at line 1, column 53: syntax error while parsing object - unexpected end of input; last read: '\\"${MARK}'","type":"server_error"}}`,
  `parse: error parsing grammar: expecting ')' at \n\nroot ::= ${MARK} bad ( \n second line ${MARK}\n0.04.202.716 E failed to parse grammar`,
  `0.04.202.741 E srv    send_error: task id = 50, error: Failed to initialize samplers: ${MARK}`,
  `0.04.215.202 W srv    operator(): got exception: {"error":{"code":400,"message":"Unable to generate parser for this template. Automatic parser generation failed: JSON schema error at #: unrecognized type ${MARK}","type":"invalid_request_error"}}`,
  `0.04.315.696 W srv    operator(): got another exception: ${MARK} | while handling exception: ${MARK}`,
  `WARNING: JSON schema conversion was incomplete: ${MARK}`,
  `Wrong type supplied for parameter '${MARK}', using default value: ${MARK}`,
  `0.05.000.000 W Ignoring content part type: ${MARK}`,
  `0.05.000.000 E Tool call mismatch: prev='${MARK}' new='${MARK}'`,
  `0.05.000.000 W common_chat_peg_parse: unparsed peg-native output: ${MARK}\nand more ${MARK}\n{"name": "${MARK}",`,
  `0.05.000.000 E anthropic string not as expected: ${MARK}`,
  `0.05.000.000 I srv    operator(): downloading image from 'https://${MARK}.example/1.png'`,
  `0.05.000.000 I srv  server_strea: conv_id=${MARK} (empty=0)`,
  `0.05.000.000 W srv    operator(): unsupported Responses tool type '${MARK}' skipped`,
  `0.05.000.000 W srv    operator(): (CORS) skip non-localhost origin: https://${MARK}.example`,
  `srv  log_server_r: done request: GET /${MARK} 127.0.0.1 404`,
  `srv  log_server_r: request:  {"prompt":"${MARK}"}`,
  `0.00.007.657 I srv  init_listene: api_keys: ****${MARK}`,
  `0.00.149.788 I srv          init: init: chat template, example_format: 'system: ${MARK}\nuser: ${MARK}\nassistant: '`,
  `/build/${MARK}/ggml.c:123: GGML_ASSERT(${MARK}) failed`,
  `error: invalid argument: --${MARK}`,
  `terminate called after throwing an instance of '${MARK}'\n  what():  ${MARK}`,
  `Failed to process regex: '${MARK}'\nRegex error: ${MARK}`,
  `{\n  "messages": [\n    {"role": "user", "content": "${MARK}"}\n  ]\n}`,
  `data: {"choices":[{"delta":{"content":"${MARK}"}}]}`,
];
