// The simulated tokeniser. One scheme for prompts, answers, `/tokenize` and every usage count, so that what
// the simulator says it generated can be checked by tokenising what it said.

/** Marks the beginning of a prompt; counted, as llama.cpp counts it. */
export const BOS = "<s>";

const SPECIAL = "<s>|</s>|<\\|im_start\\|>|<\\|im_end\\|>";
/** A piece: up to six letters, three digits or one other sign, each with one leading space. */
const PIECE = new RegExp(`${SPECIAL}| ?\\p{L}{1,6}| ?\\d{1,3}| ?[^\\s\\p{L}\\d]|\\s`, "gu");

const VOCABULARY = 32_000;
/** Below these ids a real vocabulary keeps its byte and control tokens. */
const FIRST_WORD = 300;

/** Splits a text into its tokens' texts; joined they are the text again. */
export const pieces = (text: string): string[] => text.match(PIECE) ?? [];

/** The tokens of a prompt, its beginning mark included. */
export const promptPieces = (text: string): string[] => [BOS, ...pieces(text)];

/** How many tokens two sequences have in common from their start. */
export function commonPrefix(a: readonly string[], b: readonly string[]): number {
  const end = Math.min(a.length, b.length);
  let at = 0;
  while (at < end && a[at] === b[at]) at += 1;
  return at;
}

/** 32 bits of a text (FNV-1a); the source of everything that looks random but must repeat. */
export function hash(text: string): number {
  let value = 0x81_1c_9d_c5;
  for (let at = 0; at < text.length; at += 1) {
    value ^= text.charCodeAt(at);
    value = Math.imul(value, 0x01_00_01_93);
  }
  return value >>> 0;
}

/** Numbers for pieces and back. A few ids are a real vocabulary's (transcripts "tokenize", "detokenize"). */
export class Vocabulary {
  readonly #ids = new Map<string, number>();
  readonly #texts = new Map<number, string>();

  constructor() {
    const known: [number, string][] = [
      [0, "<unk>"],
      [1, BOS],
      [2, "</s>"],
      [3_186, " world"],
      [15_043, " Hello"],
      [22_172, "hello"],
    ];
    for (const [id, text] of known) this.#keep(id, text);
  }

  id(piece: string): number {
    const known = this.#ids.get(piece);
    if (known !== undefined) return known;
    const room = VOCABULARY - FIRST_WORD;
    const start = hash(piece) % room;
    for (let step = 0; step < room; step += 1) {
      const id = FIRST_WORD + ((start + step) % room);
      if (!this.#texts.has(id)) {
        this.#keep(id, piece);
        return id;
      }
    }
    return FIRST_WORD + start;
  }

  text(id: number): string {
    return this.#texts.get(id) ?? ` t${id}`;
  }

  #keep(id: number, text: string): void {
    this.#ids.set(text, id);
    this.#texts.set(id, text);
  }
}
