// Limits and timeouts of the programs: the name states the unit, the comment the reason for the value. Numbers that are
// internal to one file stay in that file; those that an operator sets are in fleet.config.ts.

/** Largest request body that a fleet file may allow, and an agent takes: images and audio, in base64. */
export const MAX_BODY_KIB = 8192;
export const MAX_BODY_BYTES = MAX_BODY_KIB * 1024;

/** Largest request body by default. A prompt that fills a 2,048-token slot is about 8 KiB; the rest is for tools and schemas. */
export const DEFAULT_BODY_KIB = 256;

/** Memory of an isolate for request bodies, all calls together: a quarter of its 128 MiB, since parsing a body takes as much again. */
export const MAX_BODIES_BYTES = 32 * 1024 * 1024;

/** How long a request body may take to arrive: the largest body over 140 kbit/s, a bad mobile uplink. */
export const BODY_TIMEOUT_MS = 60_000;

/** Deepest nesting of a request body, since parsers recurse. Real bodies (tools with JSON schemas) stay under 20. */
export const MAX_BODY_DEPTH = 64;

/** Values in a request body, which is walked before it is validated. A full context with tools has some hundreds. */
export const MAX_BODY_VALUES = 20_000;

/** Messages in one call: far more than fit a slot's context, few enough to validate in microseconds. */
export const MAX_MESSAGES = 2048;

/** `stop` strings in one call; llama-server compares each with every token. */
export const MAX_STOP_STRINGS = 16;

/** `top_logprobs` and `n_probs`: OpenAI's own limit; they multiply the size of a streamed event. */
export const MAX_LOGPROBS = 20;

/** How long a call may take from its arrival at the edge, queueing and recovery included. */
export const CALL_DEADLINE_MS = 300_000;

/** How long the edge waits for the headers of a box's answer. A live agent sends them within 50 s, so this one is frozen. */
export const BOX_HEADERS_WAIT_MS = 60_000;

/** How long a call waits for a loading server before it falls back: an 8B model loads in 5 to 20 s from the page cache. */
export const LOAD_WAIT_MS = 20_000;

/** For a TCP connection to a llama-server on the same machine; loopback connects in microseconds or not at all. */
export const CONNECT_TIMEOUT_MS = 1_000;

/** Calls that may wait for one slot: at 5 s per call that is 80 s, longer than most callers wait. */
export const QUEUE_PER_SLOT = 16;

/** The share of the queue's places that one key may take: the other half is left for other keys. The fleet file sets it. */
export const QUEUE_SHARE_PER_KEY = 0.5;

/** Requests to a server's token routes at once: it answers `/health` from the same few threads. */
export const TOKEN_REQUESTS_PER_SERVER = 2;

/** A stream's headers are sent within this time after it was accepted, so that Cloudflare doesn't end it as dead. */
export const STREAM_HEADERS_AFTER_MS = 2_000;

/** Longest silence of a stream, then a comment is sent: through Workers, a disconnected client is noticed only at a write. */
export const COMMENT_INTERVAL_MS = 1_000;

/** A JSON answer's headers are sent after this time: Cloudflare ends calls that are silent for 100 to 120 s. */
export const JSON_HEADERS_AFTER_MS = 50_000;

/** After that, a space is sent at this interval for the same reason; JSON parsers skip it. */
export const JSON_SPACE_INTERVAL_MS = 10_000;

/** How long a broken answer waits for a server of the same model: PM2's restart and the loading of an 8B model. */
export const RESUME_WAIT_MS = 60_000;

/** A running call without a decoded token for this long has stalled; the slowest real token takes well under a second. */
export const STALL_MS = 15_000;

/** Prompt processing without progress for this long has stalled: `/slots` shows each of its batches. */
export const PROMPT_STALL_MS = 30_000;

/** Text of one answer that is kept for a continuation: more than any token limit of ours allows. */
export const MAX_CONTINUED_BYTES = 256 * 1024;

/** Retries of one call. */
export const MAX_RETRIES_A_CALL = 2;

/** Retries of one box in a minute: this number or this share of its calls, whichever is more. A failing box must not double its own load. */
export const RETRY_BUDGET_A_MINUTE = 20;
export const RETRY_BUDGET_SHARE = 0.1;

/** How long `/health` of a llama-server may take: it is answered during generation too. */
export const PROBE_TIMEOUT_MS = 1_000;

/** Memory of the agent for request bodies that are kept for a retry, all calls together. Above it a call gets no retry. */
export const MAX_RETAINED_BYTES = 64 * 1024 * 1024;

/** Largest header block that the agent accepts: Node's default, stated explicitly. */
export const MAX_HEADER_BYTES = 16 * 1024;

/** Longer than the 90 s for which cloudflared keeps idle connections: otherwise it could reuse one that we have closed. */
export const AGENT_KEEP_ALIVE_MS = 95_000;

/** Idle sockets to a llama-server are closed before its own keep-alive timeout of 5 s closes them. */
export const UPSTREAM_KEEP_ALIVE_MS = 4_000;

/** The bounds of `Retry-After`: below one second clients hammer, above two minutes they give up. */
export const RETRY_AFTER_MIN_S = 1;
export const RETRY_AFTER_MAX_S = 120;

/** Length of a rate limit's window; windows are aligned to the clock. */
export const RATE_WINDOW_MS = 1_000;

/** A lease expires this long before its window ends: a Worker's clock stands still between I/O. */
export const LEASE_MARGIN_MS = 20;

/** How long a limiter object may take to answer; after that the call is refused, never admitted on a guess. */
export const LIMITER_TIMEOUT_MS = 2_000;

/** How long the edge waits for the health of a box that never linked, and for how long an isolate uses it. */
export const HEALTH_POLL_MS = 3_000;

/** Longest request id, agent type, model name or key name, in characters. */
export const MAX_NAME_LENGTH = 128;

/** Requests per second of an address that an isolate admits without a token; its next lease request counts them. Most addresses never cost an object call. */
export const ADDRESS_FREE_PER_SECOND = 10;

/** Invalid keys of an address in a minute before its unknown keys are checked one at a time: more than typing errors. */
export const FAILED_KEYS_A_MINUTE = 20;

/** How long such a key waits for its check; each takes a round trip to an object. */
export const KEY_CHECK_WAIT_MS = 2_000;

/** How long an isolate remembers that a key is unknown. */
export const UNKNOWN_KEY_MS = 10_000;

/** Interval of snapshots over the link while something changes, and while nothing does. */
export const SNAPSHOT_MIN_MS = 1_000;
export const SNAPSHOT_MAX_MS = 15_000;

/** A box is silent after this time without a message: two snapshots were due. */
export const LINK_SILENT_MS = 30_000;

/** Interval at which an agent pings the edge, and how long the answer may take. */
export const LINK_PING_MS = 10_000;
export const LINK_PONG_MS = 5_000;

/**
 * How long an agent waits for a restarted server to be ready, from the command on: three times as long as a large model
 * takes to load. Then how long the edge waits for the agent's report, and `isha` for the edge's answer.
 */
export const RESTART_READY_MS = 50_000;
export const RESTART_REPORT_MS = RESTART_READY_MS + 5_000;
export const RESTART_ANSWER_MS = RESTART_REPORT_MS + 10_000;

/** Shortest and longest pause between an agent's attempts to dial. */
export const LINK_RETRY_MIN_MS = 250;
export const LINK_RETRY_MAX_MS = 15_000;

/** How late a key may learn that its month's tokens are used up: a push that failed is tried again after half of it. */
export const QUOTA_PUSH_MS = 10_000;

/** Keys of a deployment, revoked ones included: ten times what it is designed for. If it is full, the keys revoked first are deleted. */
export const MAX_KEYS = 10_000;

/** The newest audit entries are kept: years of operators' work, some 20 MB. */
export const AUDIT_ENTRIES_KEPT = 50_000;

/** Largest body of an admin request: a key with a hundred agent types is 15 KB. */
export const MAX_ADMIN_BODY_BYTES = 64 * 1024;
