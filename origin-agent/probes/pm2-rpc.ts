// One question to PM2's daemon over its socket. The daemon's own clients speak the same (axon's request and
// reply in AMP frames, unchanged since 2013): a byte with version and number of parts, then each part with
// its length before it; here a JSON text and an id. A connection a question; nothing is held open.
import { connect } from "node:net";

/** Most an answer may hold, bytes: 20 KiB for eight processes, with room for large environments. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;

const AMP_VERSION = 1;
const LENGTH_BYTES = 4;
/** The byte with version and count, and the first part's length. */
const HEAD_BYTES = 1 + LENGTH_BYTES;
const ID = "s:isha";

/**
 * - `absent`: nobody listens on the socket; PM2 isn't running for this user.
 * - `silent`: no answer in time.
 * - `refused`: the daemon answered that it can't. Its words are left out: they can hold what they are about.
 * - `garbled`: what came isn't what the daemon says.
 */
export type RpcFailure = "absent" | "silent" | "refused" | "garbled";

export type RpcAnswer =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly failure: RpcFailure };

/** Asks the daemon behind `socketPath` to run a method with one argument. */
export async function askPm2(
  socketPath: string,
  method: string,
  argument: unknown,
  timeoutMs: number,
): Promise<RpcAnswer> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const chunks: Buffer[] = [];
    let bytes = 0;
    let needed: number | "garbled" | null = null;
    const settle = (answer: RpcAnswer): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const fail = (failure: RpcFailure): void => settle({ ok: false, failure });
    const timer = setTimeout(() => fail("silent"), timeoutMs);
    timer.unref();
    socket.once("connect", () => socket.write(frame(questionText(method, argument), ID)));
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      bytes += chunk.length;
      needed ??= bytes < HEAD_BYTES ? null : bytesNeeded(Buffer.concat(chunks));
      if (needed === "garbled" || bytes > MAX_ANSWER_BYTES) fail("garbled");
      else if (needed !== null && bytes >= needed) {
        settle(answerOf(Buffer.concat(chunks).toString("utf8", HEAD_BYTES, needed)));
      }
    });
    socket.once("error", () => fail(bytes === 0 ? "absent" : "garbled"));
    socket.once("close", () => fail(bytes === 0 ? "absent" : "garbled"));
  });
}

const questionText = (method: string, argument: unknown): string =>
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

/** How many bytes reach to the end of an answer's first part. The id after it says nothing new: one connection, one question. */
function bytesNeeded(head: Buffer): number | "garbled" {
  const meta = head.readUInt8(0);
  const length = head.readUInt32BE(1);
  const isAmp = meta >> 4 === AMP_VERSION && (meta & 0x0f) > 0;
  return isAmp && length <= MAX_ANSWER_BYTES ? HEAD_BYTES + length : "garbled";
}

function answerOf(text: string): RpcAnswer {
  if (!text.startsWith("j:")) return { ok: false, failure: "garbled" };
  let answer: unknown;
  try {
    answer = JSON.parse(text.slice(2));
  } catch {
    // The parser's message would quote the listing.
    return { ok: false, failure: "garbled" };
  }
  if (typeof answer !== "object" || answer === null) return { ok: false, failure: "garbled" };
  if ("error" in answer) return { ok: false, failure: "refused" };
  if (!("args" in answer) || !Array.isArray(answer.args)) return { ok: false, failure: "garbled" };
  return { ok: true, value: answer.args[0] };
}
