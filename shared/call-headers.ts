// All that the agent, which parses no body, must know of a call: one versioned table of headers, written by
// the edge and read by the agent. A header that isn't in this table does not cross.
import * as z from "zod";
import { PRIORITIES } from "./fleet.ts";
import { CALL_DEADLINE_MS, MAX_NAME_LENGTH } from "./limits.ts";
import { parsedJson } from "./parsed-json.ts";

/** Raised when a field changes its meaning; an agent refuses versions it doesn't know. New optional fields don't raise it. */
export const CALL_VERSION = 1;

/** Every header of ours begins so; the edge strips them from what clients send, first of all. */
export const RESERVED_PREFIX = "x-isha-";

/** The protocols a call can be made in: each is a path of llama-server's and an error shape. */
export const DIALECTS = ["chat"] as const;
export type Dialect = (typeof DIALECTS)[number];

/** Where each dialect is asked for, at the edge, at the agent and at llama-server alike. */
export const DIALECT_PATHS: Readonly<Record<Dialect, string>> = { chat: "/v1/chat/completions" };

export const FORMATS = ["openai", "mediczy"] as const;
export type Format = (typeof FORMATS)[number];

const label = z
  .string()
  .min(1)
  .max(MAX_NAME_LENGTH)
  .regex(/^[\x21-\x7e]+$/);
const port = z.int().min(1).max(65_535);
const portList = z
  .string()
  .transform((text) => (text === "" ? [] : text.split(",").map(Number)))
  .pipe(z.array(port).max(64));
const flag = z.enum(["0", "1"]).transform((text) => text === "1");
const integer = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number);
const fieldValue = z.union([z.string(), z.number(), z.boolean(), z.record(z.string(), z.unknown())]);
const fields = z.string().max(4096).transform(parsedJson("not JSON")).pipe(z.record(z.string(), fieldValue));

/** Header name → field, with how it is written. The whole contract of a call between edge and agent. */
const CallHeaders = z.object({
  "x-isha-call": z.literal(String(CALL_VERSION)),
  /** Ours, unique; it stands in every log line and error. */
  "x-isha-request-id": label,
  "x-isha-dialect": z.enum(DIALECTS),
  "x-isha-format": z.enum(FORMATS),
  /** The port the client's words led to; `fallback_from` names it when another one serves. */
  "x-isha-wanted-port": integer,
  /** Ports that may serve as they are, best first: the first that is ready takes the call. */
  "x-isha-ports": portList,
  /** Ports to try, in order, once none of those is up: another model may stand here, and only here. */
  "x-isha-fallback-ports": portList,
  "x-isha-stream": flag,
  /** Answers asked for at once; each takes a slot. */
  "x-isha-choices": integer,
  /** Whether another server of the same model could finish the text without the client noticing. */
  "x-isha-continuable": flag,
  "x-isha-key": label,
  /** Opaque name of one end user or conversation within the key; absent where the body names none. */
  "x-isha-scope": label.optional(),
  "x-isha-agent-type": label,
  "x-isha-priority": z.enum(PRIORITIES),
  /** Most calls this key may have running on this box at once. */
  "x-isha-concurrent": integer.optional(),
  /** Milliseconds left, counted from the moment the agent reads this: no clocks need agree. */
  "x-isha-deadline-ms": integer.pipe(z.int().min(1).max(CALL_DEADLINE_MS)),
  /** Fields the agent writes before the body's closing brace, as one JSON object in ASCII. */
  "x-isha-set": fields,
});

export type CallHeader = keyof z.output<typeof CallHeaders>;

/** A call as the agent sees it. */
export interface Call {
  readonly requestId: string;
  readonly dialect: Dialect;
  readonly format: Format;
  readonly wantedPort: number;
  readonly ports: readonly number[];
  readonly fallbackPorts: readonly number[];
  readonly stream: boolean;
  readonly choices: number;
  readonly continuable: boolean;
  readonly keyId: string;
  readonly scope: string | null;
  readonly agentType: string;
  readonly priority: (typeof PRIORITIES)[number];
  readonly concurrent: number | null;
  /** Milliseconds from the reading of the headers. */
  readonly deadlineMs: number;
  readonly set: Readonly<Record<string, z.output<typeof fieldValue>>>;
}

/** Writes a call as headers. The caller has checked every value; this only spells them. */
export function encodeCall(call: Call): Record<string, string> {
  const headers: Record<CallHeader, string> = {
    "x-isha-call": String(CALL_VERSION),
    "x-isha-request-id": call.requestId,
    "x-isha-dialect": call.dialect,
    "x-isha-format": call.format,
    "x-isha-wanted-port": String(call.wantedPort),
    "x-isha-ports": call.ports.join(","),
    "x-isha-fallback-ports": call.fallbackPorts.join(","),
    "x-isha-stream": call.stream ? "1" : "0",
    "x-isha-choices": String(call.choices),
    "x-isha-continuable": call.continuable ? "1" : "0",
    "x-isha-key": call.keyId,
    "x-isha-scope": call.scope ?? "",
    "x-isha-agent-type": call.agentType,
    "x-isha-priority": call.priority,
    "x-isha-concurrent": call.concurrent === null ? "" : String(call.concurrent),
    "x-isha-deadline-ms": String(call.deadlineMs),
    "x-isha-set": asciiJson(call.set),
  };
  return Object.fromEntries(
    Object.entries(headers).filter(([name, value]) => value !== "" || REQUIRED_EMPTY.has(name)),
  );
}

/** An empty list of ports is a value, not an absence. */
const REQUIRED_EMPTY: ReadonlySet<string> = new Set<CallHeader>(["x-isha-ports", "x-isha-fallback-ports"]);

/** Header values are bytes; JSON's own escapes keep anything beyond ASCII out of them. */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * Reads a call from headers.
 * @returns the call, or which header was wrong: an edge of another version, or a caller that isn't the edge.
 */
export function decodeCall(
  headers: Readonly<Record<string, string | string[] | undefined>>,
):
  | { readonly ok: true; readonly call: Call }
  | { readonly ok: false; readonly header: string; readonly reason: string } {
  const parsed = CallHeaders.safeParse(headers);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    return {
      ok: false,
      header: String(issue?.path[0] ?? "x-isha-call"),
      reason: issue?.message ?? "unreadable",
    };
  }
  const value = parsed.data;
  return {
    ok: true,
    call: {
      requestId: value["x-isha-request-id"],
      dialect: value["x-isha-dialect"],
      format: value["x-isha-format"],
      wantedPort: value["x-isha-wanted-port"],
      ports: value["x-isha-ports"],
      fallbackPorts: value["x-isha-fallback-ports"],
      stream: value["x-isha-stream"],
      choices: value["x-isha-choices"],
      continuable: value["x-isha-continuable"],
      keyId: value["x-isha-key"],
      scope: value["x-isha-scope"] ?? null,
      agentType: value["x-isha-agent-type"],
      priority: value["x-isha-priority"],
      concurrent: value["x-isha-concurrent"] ?? null,
      deadlineMs: value["x-isha-deadline-ms"],
      set: value["x-isha-set"],
    },
  };
}

/** What of a call differs from one to the next of the same key and kind. */
const OWN_OF_A_CALL: CallHeader = "x-isha-request-id";

/**
 * `decodeCall` for one who reads many: calls of one key for one agent type differ in their request ids alone, so
 * what was checked once is remembered.
 * @param most how many kinds of call are remembered; past that it begins anew.
 */
export function rememberingDecoder(most: number): typeof decodeCall {
  const known = new Map<string, Call>();
  const names = (Object.keys(CallHeaders.shape) as CallHeader[]).filter((name) => name !== OWN_OF_A_CALL);
  return function decode(headers) {
    let kind = "";
    for (const name of names) {
      const value = headers[name];
      // A list is no header of ours, and no text may look like one that is absent.
      if (typeof value === "object") return decodeCall(headers);
      kind += value === undefined ? "\n" : `=${value}\n`;
    }
    const same = known.get(kind);
    const requestId = headers[OWN_OF_A_CALL];
    if (same !== undefined && label.safeParse(requestId).success) {
      return { ok: true, call: { ...same, requestId: requestId as string } };
    }
    const decoded = decodeCall(headers);
    if (decoded.ok) {
      if (known.size >= most) known.clear();
      known.set(kind, decoded.call);
    }
    return decoded;
  };
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
