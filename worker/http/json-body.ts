// Reads a request's body once: bytes with a bound, in bounded time, then one JSON object that llama-server can take. What its
// parser would answer with a 500 that echoes the words is refused here, by name and without the words.
import { ok, refuse, type Result } from "../../shared/errors.ts";
import { BODY_TIMEOUT_MS, MAX_BODY_BYTES, MAX_BODY_DEPTH } from "../../shared/limits.ts";
import { withTimeout } from "./timeout.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

/** The body's bytes, at most `most` and all of them within `limitMs`, if it says it is JSON and isn't packed. */
export async function readBody(
  request: Request,
  most = MAX_BODY_BYTES,
  limitMs = BODY_TIMEOUT_MS,
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
    return refuse("unsupported_media_type", "Send the body as it is: this API takes no Content-Encoding.");
  }
  const declared = request.headers.get("content-length");
  if (declared !== null && Number(declared) > most) return tooLarge(most);
  if (request.body === null) return EMPTY;
  if (declared !== null) return (await withTimeout(readDeclared(request), limitMs)) ?? tooSlow(limitMs);
  const reader = request.body.getReader();
  const body = await withTimeout(readBounded(reader, most), limitMs);
  if (body !== null) return body;
  void letGo(reader);
  return tooSlow(limitMs);
}

/** The platform holds a request to its Content-Length, so one read takes what was promised and no more. */
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
  most: number,
): Promise<Result<Uint8Array>> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.length;
      if (length > most) {
        await reader.cancel();
        return tooLarge(most);
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

/** Of a body that nobody waits for any more. */
async function letGo(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  try {
    await reader.cancel();
  } catch {
    // It broke meanwhile.
  }
}

/**
 * Parses a call's body: strict UTF-8, one JSON object, bounded depth, finite numbers, no half surrogate pairs.
 * @param names the field names that a refusal may show: any other key is the client's own, and can be a name.
 */
export function parseJsonObject(bytes: Uint8Array, names: ReadonlySet<string>): Result<JsonObject> {
  const parsed = parseAnyObject(bytes, names);
  if (!parsed.ok || Object.keys(parsed.value).length > 0) return parsed;
  return refuse("invalid_request", 'The body is an empty object; it needs "messages".', {
    param: "messages",
  });
}

/** The same for a body that may leave everything out. */
export function parseAnyObject(bytes: Uint8Array, names: ReadonlySet<string>): Result<JsonObject> {
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
    return refuse("invalid_json", "The body is not valid JSON. Check its quotes, commas and braces.");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return refuse("invalid_json", "The body must be a JSON object: {…}.");
  }
  // Only an escape can spell half a pair: strict UTF-8 has no bytes for one.
  const fault = findFault(value, /\\u[dD][89a-fA-F]/.test(text));
  if (fault === null) return ok(value as JsonObject);
  const param = shownPath(fault, names);
  return refuse("invalid_request", `${param === "" ? "The body" : param} ${FAULTS[fault.what]}.`, { param });
}

/** A byte-order mark is no JSON, and llama-server's parser refuses it: kept, so that ours does too. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const FAULTS = {
  "too deep": `nests deeper than ${MAX_BODY_DEPTH} levels`,
  "too large": "is a number too large to hold",
  "half a pair": "holds half of a surrogate pair (such as \\ud83d without its second half)",
} as const;

/** One object or list on the way down, with the way back: the path is only spelled where it is needed. */
interface Node {
  readonly value: object;
  readonly depth: number;
  readonly key: string;
  readonly parent: Node | null;
}

interface Fault {
  readonly what: keyof typeof FAULTS;
  readonly node: Node;
  /** The member that is wrong; null where it is the object itself, or one of its keys. */
  readonly key: string | null;
}

/** Walks the value with a list instead of recursion, so that depth costs no stack. */
function findFault(root: object, lookForSurrogates: boolean): Fault | null {
  const open: Node[] = [{ value: root, depth: 1, key: "", parent: null }];
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    if (node.depth > MAX_BODY_DEPTH) return { what: "too deep", node, key: null };
    for (const [key, value] of Object.entries(node.value) as [string, unknown][]) {
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

/** How much of a path a message shows: enough to find the field, too little to fill a log. */
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

const tooLarge = (most: number) =>
  refuse("body_too_large", `The body is larger than ${most} bytes, the most one request may have.`);
const tooSlow = (limitMs: number) =>
  refuse(
    "request_timeout",
    `The body wasn't here whole within ${limitMs / 1000} s, so nothing was begun. Send the request again; over a slow connection, a shorter one.`,
  );
const EMPTY = refuse("invalid_json", "The body is empty. Send a JSON object: {…}.");
const BROKEN = refuse("invalid_json", "The body broke off before its end.");
