// The chunks of HTTP/1.1 in which a stream's events go out. Node writes a chunk as four pieces, which the system
// joins; as one piece an event costs a fifth less, and nothing else of the response changes.
import type { ServerResponse } from "node:http";

/** Whether the client's version of HTTP has chunks. */
export function canChunk(response: ServerResponse): boolean {
  return response.useChunkedEncodingByDefault;
}

/** From here on whoever writes to the response writes chunks; to be called once its headers have said so. */
export function leaveChunksToUs(response: ServerResponse): void {
  response.chunkedEncoding = false;
}

/** Bytes go as a string of as many characters: small buffers that outlive a collection hold on to large ones. */
const BYTES_AS_TEXT = "latin1";

/** Writes one chunk. @returns false where the client takes no more for now */
export function writeChunk(response: ServerResponse, bytes: Buffer | string): boolean {
  // An empty chunk would end the body.
  if (bytes.length === 0) return true;
  return typeof bytes === "string"
    ? response.write(chunkOf(Buffer.byteLength(bytes), bytes), "utf8")
    : response.write(chunkOf(bytes.length, bytes.toString(BYTES_AS_TEXT)), BYTES_AS_TEXT);
}

/** Ends the body, after a last chunk of `text` where there is any. */
export function endChunks(response: ServerResponse, text = ""): void {
  const last = text === "" ? "" : chunkOf(Buffer.byteLength(text), text);
  response.end(`${last}0\r\n\r\n`);
}

const chunkOf = (length: number, text: string): string => `${length.toString(16)}\r\n${text}\r\n`;
