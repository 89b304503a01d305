// Every number the programs agree on: its name says the unit, its comment says why it is what it is.
// A number that one file alone uses stays in that file; one an operator sets stands in fleet.config.ts.

/** Largest request body, bytes. A prompt that fills a 2,048-token slot is about 8 KiB; the rest is tools and schemas. */
export const MAX_BODY_BYTES = 1024 * 1024;

/** How long a request body may take to arrive whole, milliseconds: the largest over 140 kbit/s, a bad mobile uplink. */
export const BODY_TIMEOUT_MS = 60_000;

/** Deepest nesting of a request body. Real ones (tools with JSON schemas) stay under 20; parsers recurse. */
export const MAX_BODY_DEPTH = 64;

/** Most messages in one call: far beyond what fits a slot's context, small enough to check in microseconds. */
export const MAX_MESSAGES = 2048;

/** Most `stop` strings in one call; llama-server compares each against every token. */
export const MAX_STOP_STRINGS = 16;

/** Highest `top_logprobs` / `n_probs`: OpenAI's own bound; each multiplies the size of a streamed event. */
export const MAX_LOGPROBS = 20;

/** How long a call may take from its arrival at the edge, queueing and recovery included, milliseconds. */
export const CALL_DEADLINE_MS = 300_000;

/**
 * What the edge adds to a call's own deadline before it gives up on a box: the agent answers at the
 * deadline with an error that names the cause, and only an agent that is gone lets this run out.
 */
export const EDGE_DEADLINE_MARGIN_MS = 5_000;

/** A server that is loading is waited for this long before the call falls back: an 8B model loads in 5–20 s from the page cache. */
export const LOAD_WAIT_MS = 20_000;

/** TCP connect to a llama-server on the same machine; loopback answers in microseconds or not at all. */
export const CONNECT_TIMEOUT_MS = 1_000;

/** Calls that may wait for one slot: at 5 s a call that is 80 s, more than anybody's patience. */
export const QUEUE_PER_SLOT = 16;

/** A stream's headers go out at the latest this long after it was accepted: its client must not look dead to Cloudflare. */
export const STREAM_HEADERS_AFTER_MS = 2_000;

/** A stream never says nothing for longer: through Workers a client that left is noticed only at a write. */
export const COMMENT_INTERVAL_MS = 1_000;

/** A JSON answer's headers go out once it has taken this long: Cloudflare ends calls silent for 100 to 120 s. */
export const JSON_HEADERS_AFTER_MS = 50_000;

/** And then a space this often, for the same reason; JSON parsers skip it. */
export const JSON_SPACE_INTERVAL_MS = 10_000;

/** A server of the same model is waited for this long to finish a broken answer: PM2's restart and an 8B model's loading. */
export const RESUME_WAIT_MS = 60_000;

/** A running call without a decoded token for this long has stalled; the slowest real token takes well under a second. */
export const STALL_MS = 15_000;

/** Prompt processing without progress for this long has stalled: it goes in batches, each shown in `/slots`. */
export const PROMPT_STALL_MS = 30_000;

/** Text of one answer that is kept so that it can be continued, bytes: past any cap of ours. */
export const MAX_CONTINUED_BYTES = 256 * 1024;

/** How often one call may be sent again. */
export const MAX_RETRIES_A_CALL = 2;

/** A box sends at most this many calls again in a minute, or this share of its calls, whichever is more: a failing box must not double its own load. */
export const RETRY_BUDGET_A_MINUTE = 20;
export const RETRY_BUDGET_SHARE = 0.1;

/** How long `/health` of a llama-server may take: it is answered beside generation, never behind it. */
export const PROBE_TIMEOUT_MS = 1_000;

/** Largest answer of a call that isn't streamed, bytes: 20 log-probabilities for each of 2,048 tokens is 4 MiB. */
export const MAX_ANSWER_BYTES = 8 * 1024 * 1024;

/** Largest single streamed event, bytes. The last event with log-probabilities of 2,048 tokens stays under it. */
export const MAX_EVENT_BYTES = 1024 * 1024;

/** Memory the agent spends on bodies kept for another try, bytes, over all calls. Beyond it a call gets one try. */
export const MAX_RETAINED_BYTES = 64 * 1024 * 1024;

/** Longest header block a client may send to the agent, bytes (Node's own default, said aloud). */
export const MAX_HEADER_BYTES = 16 * 1024;

/** cloudflared keeps idle connections to the origin for 90 s; ours must outlive them or a reused one meets a reset. */
export const AGENT_KEEP_ALIVE_MS = 95_000;

/** Idle sockets to a llama-server are dropped before its own keep-alive time-out of 5 s does it under us. */
export const UPSTREAM_KEEP_ALIVE_MS = 4_000;

/** `Retry-After` never says less or more than this, seconds: under one, clients hammer; over two minutes, they give up. */
export const RETRY_AFTER_MIN_S = 1;
export const RETRY_AFTER_MAX_S = 120;

/** Rate limits count in windows of this length, aligned to the clock, milliseconds. */
export const RATE_WINDOW_MS = 1_000;

/** A lease is dead this long before its window ends: a Worker's clock stands still between I/O. */
export const LEASE_MARGIN_MS = 20;

/** How long a limiter object may take to answer; past it the call is refused, never guessed. */
export const LIMITER_TIMEOUT_MS = 2_000;

/** How old a health answer may be that an isolate gives again. */
export const HEALTH_CACHE_MS = 2_000;

/** How long the edge waits for a box's health. */
export const HEALTH_TIMEOUT_MS = 3_000;

/** Longest request id, agent type, model name or key name we carry, characters. */
export const MAX_NAME_LENGTH = 128;

/** An isolate lets so many requests a second of an address pass unasked, and counts them in when it asks: most addresses never cost an object call. */
export const ADDRESS_FREE_PER_SECOND = 10;

/** Keys of an address that turn out bad, a minute, before keys not known to be good are refused there: a person's slips, not a search. */
export const FAILED_KEYS_A_MINUTE = 20;

/** An isolate remembers for so long that a key is unknown, milliseconds. */
export const UNKNOWN_KEY_MS = 10_000;

/** A snapshot goes over the link this often while something changes, and so often where nothing does, milliseconds. */
export const SNAPSHOT_MIN_MS = 1_000;
export const SNAPSHOT_MAX_MS = 15_000;

/** A box that said nothing for this long is silent, milliseconds: two snapshots were due. */
export const LINK_SILENT_MS = 30_000;

/** How often an agent sees whether its link is whole, and how long the answer may take, milliseconds. */
export const LINK_PING_MS = 10_000;
export const LINK_PONG_MS = 5_000;

/** Pauses between an agent's tries to dial, milliseconds: doubled from the first to the longest, jittered. */
export const LINK_RETRY_MIN_MS = 250;
export const LINK_RETRY_MAX_MS = 15_000;

/** How far behind the ledger a key's month may be when it is told, milliseconds: with the calls in flight, what `tokensPerMonth` can be overshot by. */
export const QUOTA_PUSH_MS = 10_000;

/** Keys a deployment keeps, revoked ones included: ten times what it is designed for. A full one forgets the keys revoked first. */
export const MAX_KEYS = 10_000;

/** Entries of the audit that are kept, the newest: years of operators' work, some 20 MB. */
export const AUDIT_ENTRIES_KEPT = 50_000;

/** Largest body of an admin request, bytes: a key with a hundred agent types is 15 KB. */
export const MAX_ADMIN_BODY_BYTES = 64 * 1024;
