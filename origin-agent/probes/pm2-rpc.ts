// Calls a method of PM2's daemon over its socket, with the protocol of the daemon's own clients (axon's request and
// reply in AMP frames, unchanged since 2013): a byte with the version and the number of parts, then each part after
// its length; here a JSON text and an id. Each call opens its own connection.
import { connect } from "node:net";

/** Largest reply that is read: 20 KiB for eight processes, with room for large environments. */
const MAX_REPLY_BYTES = 8 * 1024 * 1024;

const AMP_VERSION = 1;
const LENGTH_BYTES = 4;
/** The byte with the version and the count, and the first part's length. */
const HEAD_BYTES = 1 + LENGTH_BYTES;
const ID = "s:isha";

/**
 * - `not-running`: no process listens on the socket; PM2 isn't running for this user.
 * - `timeout`: no reply in time.
 * - `error`: the daemon returned an error. Its text is discarded: it can quote environments.
 * - `malformed`: the reply isn't one of PM2's.
 */
export type RpcFailure = "not-running" | "timeout" | "error" | "malformed";

export type RpcReply =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly failure: RpcFailure };

/** Calls a method of the daemon behind `socketPath` with one argument. */
export async function callPm2(
  socketPath: string,
  method: string,
  argument: unknown,
  timeoutMs: number,
): Promise<RpcReply> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const chunks: Buffer[] = [];
    let bytes = 0;
    let needed: number | "malformed" | null = null;
    const settle = (reply: RpcReply): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(reply);
    };
    const fail = (failure: RpcFailure): void => settle({ ok: false, failure });
    const timer = setTimeout(() => fail("timeout"), timeoutMs);
    timer.unref();
    socket.once("connect", () => socket.write(frame(callText(method, argument), ID)));
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      bytes += chunk.length;
      needed ??= bytes < HEAD_BYTES ? null : bytesNeeded(Buffer.concat(chunks));
      if (needed === "malformed" || bytes > MAX_REPLY_BYTES) fail("malformed");
      else if (needed !== null && bytes >= needed) {
        settle(replyOf(Buffer.concat(chunks).toString("utf8", HEAD_BYTES, needed)));
      }
    });
    socket.once("error", () => fail(bytes === 0 ? "not-running" : "malformed"));
    socket.once("close", () => fail(bytes === 0 ? "not-running" : "malformed"));
  });
}

const callText = (method: string, argument: unknown): string =>
  `j:${JSON.stringify({ type: "call", method, args: [argument] })}`;

function frame(...texts: readonly string[]): Buffer {
  const parts = texts.flatMap((text) => {
    const body = Buffer.from(text, "utf8");
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32BE(body.length);
    return [length, body];
  });
  return Buffer.concat([Buffer.from([(AMP_VERSION << 4) | texts.length]), ...parts]);
}

/** Number of bytes up to the end of a reply's first part. The id after it isn't needed: each connection has one call. */
function bytesNeeded(head: Buffer): number | "malformed" {
  const meta = head.readUInt8(0);
  const length = head.readUInt32BE(1);
  const isAmp = meta >> 4 === AMP_VERSION && (meta & 0x0f) > 0;
  return isAmp && length <= MAX_REPLY_BYTES ? HEAD_BYTES + length : "malformed";
}

function replyOf(text: string): RpcReply {
  if (!text.startsWith("j:")) return { ok: false, failure: "malformed" };
  let reply: unknown;
  try {
    reply = JSON.parse(text.slice(2));
  } catch {
    // The parser's message would quote the listing.
    return { ok: false, failure: "malformed" };
  }
  if (typeof reply !== "object" || reply === null) return { ok: false, failure: "malformed" };
  if ("error" in reply) return { ok: false, failure: "error" };
  if (!("args" in reply) || !Array.isArray(reply.args)) return { ok: false, failure: "malformed" };
  return { ok: true, value: reply.args[0] };
}
