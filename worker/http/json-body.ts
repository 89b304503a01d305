// Reads a request's body once, with limits on size, memory and time, and parses it as one JSON object. Input that llama-server
// would answer with a 500 that repeats it is refused here; a refusal names the field and never contains its text.
import { ok, refuse, type Result } from "../../shared/errors.ts";
import { BODY_TIMEOUT_MS, MAX_BODY_DEPTH, MAX_BODY_VALUES } from "../../shared/limits.ts";
import type { BodyHold } from "./body-memory.ts";
import { jsonFault } from "./json-fault.ts";
import { withTimeout, type TimeLimit } from "./timeout.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

interface BodyLimits {
  readonly maxBytes: number;
  /** Returns false if there is no memory for further bytes. */
  readonly grow?: BodyHold["grow"];
  readonly timeoutMs?: number;
  readonly limit?: TimeLimit;
}

/** The body's bytes, if its type is JSON, it is not compressed, there is room for it, and it arrives in time. */
export async function readBody(
  request: Request,
  { maxBytes, grow = () => true, timeoutMs = BODY_TIMEOUT_MS, limit = withTimeout }: BodyLimits,
): Promise<Result<Uint8Array>> {
  const type = request.headers.get("content-type");
  if (type === null || !/^application\/json *(;|$)/i.test(type)) {
    return refuse(
      "unsupported_media_type",
      "Send the body as JSON, with the header 'Content-Type: application/json'.",
    );
  }
  const encoding = request.headers.get("content-encoding");
  if (encoding !== null && encoding.toLowerCase() !== "identity") {
    return refuse(
      "unsupported_media_type",
      "Send the body uncompressed: this API accepts no Content-Encoding.",
    );
  }
  const declared = request.headers.get("content-length");
  if (declared !== null && Number(declared) > maxBytes) return tooLarge(maxBytes);
  if (request.body === null) return EMPTY;
  if (declared !== null && !grow(Number(declared))) return NO_ROOM;
  if (declared !== null) return (await limit(readDeclared(request), timeoutMs)) ?? tooSlow(timeoutMs);
  const reader = request.body.getReader();
  const body = await limit(readBounded(reader, maxBytes, grow), timeoutMs);
  if (body !== null) return body;
  void cancelQuietly(reader);
  return tooSlow(timeoutMs);
}

/** The platform enforces the Content-Length, so one read returns no more than that. */
async function readDeclared(request: Request): Promise<Result<Uint8Array>> {
  try {
    const bytes = new Uint8Array(await request.arrayBuffer());
    return bytes.length === 0 ? EMPTY : ok(bytes);
  } catch {
    return BROKEN;
  }
}

async function readBounded(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  maxBytes: number,
  grow: BodyHold["grow"],
): Promise<Result<Uint8Array>> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.length;
      const isTooLarge = length > maxBytes;
      if (isTooLarge || !grow(value.length)) {
        await reader.cancel();
        return isTooLarge ? tooLarge(maxBytes) : NO_ROOM;
      }
      chunks.push(value);
    }
  } catch {
    return BROKEN;
  }
  if (length === 0) return EMPTY;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return ok(bytes);
}

/** Cancels a body after its timeout. */
async function cancelQuietly(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  try {
    await reader.cancel();
  } catch {
    // The body failed in the meantime.
  }
}

/**
 * Parses a call's body: strict UTF-8, one JSON object, limited depth, finite numbers, no half surrogate pairs.
 * @param names field names that a refusal may contain; any other key is the client's own and can be personal data
 */
export function parseJsonObject(bytes: Uint8Array, names: ReadonlySet<string>): Result<JsonObject> {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return refuse("invalid_json", "The body is not valid UTF-8.");
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    const { line, column } = jsonFault(text);
    return refuse(
      "invalid_json",
      `The body is not valid JSON at line ${line}, column ${column}. Check the quotes, commas and braces there.`,
    );
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return refuse("invalid_json", "The body must be a JSON object: {…}.");
  }
  // Only an escape can encode half a pair: strict UTF-8 can't.
  const fault = findFault(value, /\\u[dD][89a-fA-F]/.test(text));
  if (fault === null) return ok(value as JsonObject);
  const param = shownPath(fault, names);
  const subject = param === "" ? "The body" : `${param}:`;
  return refuse("invalid_request", `${subject} ${FAULTS[fault.what]}.`, { param });
}

/** Keeps a byte-order mark, so that JSON.parse rejects it as llama-server's parser does. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const FAULTS = {
  "too deep": `must not be nested deeper than ${MAX_BODY_DEPTH} levels`,
  "too many": `must not have more than ${MAX_BODY_VALUES} values`,
  "too large": "must be a number that fits in 64 bits",
  "half a pair": "must not have half of a surrogate pair (such as \\ud83d without its second half)",
} as const;

/** An object or array with its parent, from which a fault's path is built. */
interface Node {
  readonly value: object;
  readonly depth: number;
  readonly key: string;
  readonly parent: Node | null;
}

interface Fault {
  readonly what: keyof typeof FAULTS;
  readonly node: Node;
  /** The wrong member; null if the object itself or one of its keys is wrong. */
  readonly key: string | null;
}

/** Walks the value without recursion, so that depth uses no stack. */
function findFault(root: object, lookForSurrogates: boolean): Fault | null {
  const open: Node[] = [{ value: root, depth: 1, key: "", parent: null }];
  let values = 0;
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    if (node.depth > MAX_BODY_DEPTH) return { what: "too deep", node, key: null };
    const entries = Object.entries(node.value) as [string, unknown][];
    values += entries.length;
    if (values > MAX_BODY_VALUES) return { what: "too many", node: open[0] ?? node, key: null };
    for (const [key, value] of entries) {
      if (lookForSurrogates && !key.isWellFormed()) return { what: "half a pair", node, key: null };
      if (typeof value === "string") {
        if (lookForSurrogates && !value.isWellFormed()) return { what: "half a pair", node, key };
      } else if (typeof value === "number") {
        if (!Number.isFinite(value)) return { what: "too large", node, key };
      } else if (typeof value === "object" && value !== null) {
        open.push({ value, depth: node.depth + 1, key, parent: node });
      }
    }
  }
  return null;
}

/** Parts of a path in a message: enough to find the field. */
const MAX_PATH_PARTS = 6;

function shownPath(fault: Fault, names: ReadonlySet<string>): string {
  const parts: { readonly key: string; readonly list: boolean }[] = [];
  if (fault.key !== null) parts.unshift({ key: fault.key, list: Array.isArray(fault.node.value) });
  for (let node: Node | null = fault.node; node?.parent != null; node = node.parent) {
    parts.unshift({ key: node.key, list: Array.isArray(node.parent.value) });
  }
  let path = "";
  for (const { key, list } of parts.slice(0, MAX_PATH_PARTS)) {
    if (list) path += `[${key}]`;
    else path += `${path === "" ? "" : "."}${names.has(key) ? key : "(a key)"}`;
  }
  return path;
}

const tooLarge = (maxBytes: number) =>
  refuse("body_too_large", `The body is larger than the limit of ${maxBytes} bytes.`);
const tooSlow = (timeoutMs: number) =>
  refuse(
    "request_timeout",
    `The body did not arrive within ${timeoutMs / 1000} s, so the request was not processed. Send it again; over a slow connection, send a shorter one.`,
  );
const NO_ROOM = refuse(
  "overloaded",
  "Too many large requests are arriving at the moment. Try again in a second.",
  { retryAfterMs: 1_000, internal: "no memory for request bodies" },
);
const EMPTY = refuse("invalid_json", "The body is empty. Send a JSON object: {…}.");
const BROKEN = refuse("invalid_json", "The body ended before it was complete. Send the request again.");
