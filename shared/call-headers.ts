// The headers of a call from the edge to the agent, which parses no bodies: one versioned and validated set of fields.
// They travel as one JSON header, next to the two headers that differ from call to call: a header per field would cost
// both ends as much as all other headers of the call.
import * as z from "zod/mini";
import { BoundedMap } from "./bounded-map.ts";
import { DIALECT_NAMES } from "./dialects.ts";
import { PRIORITIES } from "./fleet.ts";
import { CALL_DEADLINE_MS, MAX_NAME_LENGTH } from "./limits.ts";
import { adjacentTo } from "./versions.ts";

/**
 * Raised when a field changes its meaning; new optional fields don't raise it. An agent accepts the adjacent versions too:
 * agents are deployed first, and either side can be taken back.
 */
export const CALL_VERSION = 2;

/** A call's fields, as JSON in ASCII. */
const CALL_HEADER = "x-isha-call";
/** The edge's id of the request; it is in every log line and error. */
const REQUEST_ID_HEADER = "x-isha-request-id";
/** Opaque name of one end user or conversation of the key; absent if the body names none. */
const SCOPE_HEADER = "x-isha-scope";

export const FORMATS = ["openai", "mediczy"] as const;
export type Format = (typeof FORMATS)[number];

const LABEL = new RegExp(`^[\\x21-\\x7e]{1,${MAX_NAME_LENGTH}}$`);
const LABEL_IS = `1 to ${MAX_NAME_LENGTH} printable characters`;
const label = z.string().check(z.regex(LABEL, LABEL_IS));
const port = z.int().check(z.gte(1), z.lte(65_535));
const ports = z.readonly(z.array(port).check(z.maxLength(64)));
const fieldValue = z.union([z.string(), z.number(), z.boolean(), z.record(z.string(), z.unknown())]);

/** In characters; 128 ports and a few fields to set stay far below it. */
const MAX_CALL_LENGTH = 8192;

/** The contract of a call between the edge and the agent. */
const CallFields = z.object({
  v: adjacentTo(CALL_VERSION),
  dialect: z.enum(DIALECT_NAMES),
  format: z.enum(FORMATS),
  /** The port that the request resolved to; if another one serves the call, `fallback_from` names this one. */
  wantedPort: port,
  /** Preferred ports, best first: the first ready one takes the call. */
  ports,
  /** Ports to try, in order, if none of `ports` is up. Only these may be of another model. */
  fallbackPorts: ports,
  stream: z.boolean(),
  /** Number of answers requested (`n`); each takes a slot. */
  choices: z.int().check(z.gte(1)),
  /** Whether another server of the same model can continue the answer without a visible break. */
  continuable: z.boolean(),
  keyId: label,
  agentType: label,
  priority: z.enum(PRIORITIES),
  /** The most calls that this key may have on this box at the same time, queued ones included; null for no limit. */
  concurrent: z.nullable(z.int().check(z.gte(1))),
  /** Time left, counted from when the agent reads this, so that the clocks need not agree. */
  deadlineMs: z.int().check(z.gte(1), z.lte(CALL_DEADLINE_MS)),
  /** Fields that the agent inserts before the body's closing brace. */
  set: z.record(z.string(), fieldValue),
  /** Fields of the body that llama-server can refuse (`tools`, a schema, a grammar), for the text of that refusal. */
  suspects: z.optional(z.readonly(z.array(label).check(z.maxLength(8)))),
});

/** A call as the agent reads it. */
export interface Call extends Readonly<Omit<z.output<typeof CallFields>, "v">> {
  readonly requestId: string;
  readonly scope: string | null;
}

/** Encodes a call as headers. The caller has validated every value. */
export function encodeCall({ requestId, scope, ...fields }: Call): Record<string, string> {
  const headers: Record<string, string> = {
    [REQUEST_ID_HEADER]: requestId,
    [CALL_HEADER]: asciiJson({ v: CALL_VERSION, ...fields }),
  };
  if (scope !== null) headers[SCOPE_HEADER] = scope;
  return headers;
}

/** Header values are bytes, so JSON's escapes replace everything beyond ASCII. */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

type HeaderBlock = Readonly<Record<string, string | string[] | undefined>>;

type DecodedCall =
  | { readonly ok: true; readonly call: Call }
  /** `header` names the header and the field in it: `x-isha-call.ports`. */
  | { readonly ok: false; readonly header: string; readonly reason: string };

type CallFields = Omit<z.output<typeof CallFields>, "v">;

/**
 * Creates a decoder of calls' headers. It returns the wrong field if the edge has another version or the sender isn't the
 * edge. Calls of one key and one agent type differ only in their request ids and scopes, so validated headers are cached.
 * @param max entries of the cache
 */
export function callDecoder(max: number): (headers: HeaderBlock) => DecodedCall {
  const known = new BoundedMap<string, CallFields>(max);
  return function decodeCall(headers) {
    const text = headers[CALL_HEADER];
    const scope = headers[SCOPE_HEADER];
    const requestId = headers[REQUEST_ID_HEADER];
    if (!isLabel(requestId)) return { ok: false, header: REQUEST_ID_HEADER, reason: LABEL_IS };
    if (scope !== undefined && !isLabel(scope)) return { ok: false, header: SCOPE_HEADER, reason: LABEL_IS };
    if (typeof text !== "string" || text.length > MAX_CALL_LENGTH) {
      return { ok: false, header: CALL_HEADER, reason: "missing, or too long" };
    }
    let fields = known.get(text);
    if (fields === undefined) {
      const parsed = CallFields.safeParse(jsonOrNull(text));
      if (!parsed.success) return unreadable(parsed.error);
      const { v: _version, ...checked } = parsed.data;
      known.set(text, checked);
      fields = checked;
    }
    return { ok: true, call: { ...fields, requestId, scope: scope ?? null } };
  };
}

function isLabel(value: string | string[] | undefined): value is string {
  return typeof value === "string" && LABEL.test(value);
}

function unreadable(error: z.core.$ZodError): DecodedCall {
  const [issue] = error.issues;
  const header = [CALL_HEADER, ...(issue?.path.slice(0, 1) ?? [])].map(String).join(".");
  return { ok: false, header, reason: issue?.message ?? "unreadable" };
}

function jsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * The agent's own headers of an answer. The edge forwards only `ANSWER_HEADERS`; it removes `x-isha-agent` (proof that
 * the agent, and not the tunnel, answered) and `x-isha-started`.
 */
export const AGENT_HEADER = "x-isha-agent";
export const STARTED_HEADER = "x-isha-started";
/** The error code of an agent's refusal, for the edge's log, which doesn't read the body. */
export const CODE_HEADER = "x-isha-code";
export const TOKEN_HEADER = "x-isha-token";

/** Headers of an agent's answer that the client receives; the edge removes all others. */
export const ANSWER_HEADERS = [
  "content-type",
  "content-length",
  "cache-control",
  "retry-after",
  "retry-after-ms",
  "x-should-retry",
  "server-timing",
  "x-isha-box",
  "x-isha-port",
  "x-isha-model",
  "x-isha-queue-ms",
  "x-isha-fallback-from",
  "x-isha-simulated",
] as const;
