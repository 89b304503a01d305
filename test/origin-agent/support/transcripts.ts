// Reads answers recorded from a real llama-server (`test/fixtures/llama-transcripts.json`).
import { readFileSync } from "node:fs";

export interface Transcript {
  readonly name: string;
  readonly request: { readonly method: string; readonly path: string };
  readonly response: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: string;
    readonly chunks?: readonly { readonly data: string }[];
  } | null;
}

export const TRANSCRIPTS = JSON.parse(
  readFileSync(new URL("../../fixtures/llama-transcripts.json", import.meta.url), "utf8"),
) as readonly Transcript[];

function responseOf(name: string): NonNullable<Transcript["response"]> {
  const found = TRANSCRIPTS.find((transcript) => transcript.name === name)?.response;
  if (found == null) throw new Error(`no transcript "${name}" with an answer`);
  return found;
}

/** The body of an unstreamed answer. */
export const recordedBody = (name: string): Buffer => Buffer.from(responseOf(name).body ?? "");

/** The chunks of a stream as they arrived. */
export const recordedChunks = (name: string): Buffer[] =>
  (responseOf(name).chunks ?? []).map(({ data }) => Buffer.from(data));

/** A complete stream. */
export const recordedStream = (name: string): Buffer => Buffer.concat(recordedChunks(name));
