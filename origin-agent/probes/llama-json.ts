// Asks a llama-server for a small JSON answer. A fresh connection each time: an idle one would keep one of the
// server's few HTTP threads to itself.
import { PROBE_TIMEOUT_MS } from "../../shared/limits.ts";
import { request } from "../undici-parts.ts";

export interface LlamaQuestion {
  /** The longest answer that is read. */
  readonly maxBytes: number;
  /** Makes it a POST of this. */
  readonly body?: object;
  readonly signal?: AbortSignal | undefined;
  /** `PROBE_TIMEOUT_MS` unless given. */
  readonly timeoutMs?: number;
}

/** The JSON of a 200; undefined for anything else. Nothing of what went wrong is kept: bodies can echo prompts. */
export async function llamaJson(url: string, apiKey: string, question: LlamaQuestion): Promise<unknown> {
  const { maxBytes, body: asked, signal, timeoutMs = PROBE_TIMEOUT_MS } = question;
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const { statusCode, body } = await request(url, {
      method: asked === undefined ? "GET" : "POST",
      headers: {
        authorization: `Bearer ${apiKey}`,
        ...(asked === undefined ? {} : { "content-type": "application/json" }),
      },
      body: asked === undefined ? null : JSON.stringify(asked),
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
    const parts: Buffer[] = [];
    let bytes = 0;
    // Leaving the loop early destroys the body, and the connection with it.
    for await (const part of body as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (statusCode !== 200 || bytes > maxBytes) return undefined;
      parts.push(part);
    }
    return statusCode === 200 ? JSON.parse(Buffer.concat(parts).toString("utf8")) : undefined;
  } catch {
    return undefined;
  }
}
