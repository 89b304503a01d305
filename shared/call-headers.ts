// All that the agent, which parses no body, must know of a call: one versioned, checked table of fields, written by
// the edge and read by the agent. They cross as one header of JSON, beside the two that differ from call to call;
// a header a field would cost both ends as much as the whole call's other headers.
import * as z from "zod";
import { BoundedMap } from "./bounded-map.ts";
import { PRIORITIES } from "./fleet.ts";
import { CALL_DEADLINE_MS, MAX_NAME_LENGTH } from "./limits.ts";

/** Raised when a field changes its meaning; an agent refuses versions it doesn't know. New optional fields don't raise it. */
export const CALL_VERSION = 2;

/** Every header of ours begins so; the edge strips them from what clients send, first of all. */
export const RESERVED_PREFIX = "x-isha-";

/** A call's fields, as JSON in ASCII. */
export const CALL_HEADER = "x-isha-call";
/** Ours, unique; it stands in every log line and error. */
export const REQUEST_ID_HEADER = "x-isha-request-id";
/** Opaque name of one end user or conversation within the key; absent where the body names none. */
export const SCOPE_HEADER = "x-isha-scope";

/** The protocols a call can be made in: each is a path of llama-server's and an error shape. */
export const DIALECTS = ["chat"] as const;
export type Dialect = (typeof DIALECTS)[number];

/** Where each dialect is asked for, at the edge, at the agent and at llama-server alike. */
export const DIALECT_PATHS: Readonly<Record<Dialect, string>> = { chat: "/v1/chat/completions" };

export const FORMATS = ["openai", "mediczy"] as const;
export type Format = (typeof FORMATS)[number];

const LABEL = new RegExp(`^[\\x21-\\x7e]{1,${MAX_NAME_LENGTH}}$`);
const LABEL_IS = `1 to ${MAX_NAME_LENGTH} printable characters`;
const label = z.string().regex(LABEL, LABEL_IS);
const port = z.int().min(1).max(65_535);
const ports = z.array(port).max(64).readonly();
const fieldValue = z.union([z.string(), z.number(), z.boolean(), z.record(z.string(), z.unknown())]);

/** Longest call header, characters: 128 ports and a few fields to set stay far under it. */
const MAX_CALL_LENGTH = 8192;

/** The whole contract of a call between edge and agent. */
const CallFields = z.object({
  v: z.literal(CALL_VERSION),
  dialect: z.enum(DIALECTS),
  format: z.enum(FORMATS),
  /** The port the client's words led to; `fallback_from` names it when another one serves. */
  wantedPort: port,
  /** Ports that may serve as they are, best first: the first that is ready takes the call. */
  ports,
  /** Ports to try, in order, once none of those is up: another model may stand here, and only here. */
  fallbackPorts: ports,
  stream: z.boolean(),
  /** Answers asked for at once; each takes a slot. */
  choices: z.int().min(1),
  /** Whether another server of the same model could finish the text without the client noticing. */
  continuable: z.boolean(),
  keyId: label,
  agentType: label,
  priority: z.enum(PRIORITIES),
  /** Most calls this key may have on this box at once, waiting ones too; null for no limit. */
  concurrent: z.int().min(1).nullable(),
  /** Milliseconds left, counted from the moment the agent reads this: no clocks need agree. */
  deadlineMs: z.int().min(1).max(CALL_DEADLINE_MS),
  /** Fields the agent writes before the body's closing brace. */
  set: z.record(z.string(), fieldValue),
});

/** A call as the agent sees it. */
export interface Call extends Readonly<Omit<z.output<typeof CallFields>, "v">> {
  readonly requestId: string;
  readonly scope: string | null;
}

/** Writes a call as headers. The caller has checked every value; this only spells them. */
export function encodeCall({ requestId, scope, ...fields }: Call): Record<string, string> {
  const headers: Record<string, string> = {
    [REQUEST_ID_HEADER]: requestId,
    [CALL_HEADER]: asciiJson({ v: CALL_VERSION, ...fields }),
  };
  if (scope !== null) headers[SCOPE_HEADER] = scope;
  return headers;
}

/** Header values are bytes; JSON's own escapes keep anything beyond ASCII out of them. */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

export type HeaderBlock = Readonly<Record<string, string | string[] | undefined>>;

export type DecodedCall =
  | { readonly ok: true; readonly call: Call }
  /** `header` names the header, and the field within it: `x-isha-call.ports`. */
  | { readonly ok: false; readonly header: string; readonly reason: string };

type CallFields = Omit<z.output<typeof CallFields>, "v">;

/**
 * A reader of calls' headers: it says which field was wrong, where the edge is of another version or the caller
 * isn't the edge. Calls of one key for one agent type differ in their request ids and scopes alone, so what was
 * checked once is remembered.
 * @param max how many kinds of call are remembered, those used last.
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

function unreadable(error: z.ZodError): DecodedCall {
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
 * What the agent says of an answer, in headers of its own. The edge hands on those in `ANSWER_HEADERS` and
 * keeps `x-isha-agent` (proof that the agent, not the tunnel, spoke) and `x-isha-started` to itself.
 */
export const AGENT_HEADER = "x-isha-agent";
export const STARTED_HEADER = "x-isha-started";
/** The error code of an agent's refusal, for the edge's log: the body stays unread. */
export const CODE_HEADER = "x-isha-code";
export const TOKEN_HEADER = "x-isha-token";

/** Headers of an agent's answer that reach the client; everything else stops at the edge. */
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
