// Finds where a text stops being JSON, for the message of a refusal: engines name the place only sometimes, and quote the
// text. Runs only on texts that JSON.parse has refused.

const SPACE = new Set([" ", "\t", "\n", "\r"]);
const ESCAPES = new Set('"\\/bfnrt');
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORDS = ["true", "false", "null"];
/** Control characters must be escaped in a string. */
const FIRST_PRINTABLE = 0x20;

/** Line and column, both from 1, of the first character that can't stand where it does. */
export function jsonFault(text: string): { readonly line: number; readonly column: number } {
  const before = text.slice(0, faultIndex(text));
  const lineStart = before.lastIndexOf("\n") + 1;
  return { line: before.split("\n").length, column: before.length - lineStart + 1 };
}

type Expected = "value" | "value or ]" | "key" | "key or }" | "colon" | "comma or end";

/** Walks the text with a stack of its own, so that depth uses none of the engine's. */
function faultIndex(text: string): number {
  const open: ("{" | "[")[] = [];
  let expected: Expected = "value";
  let at = skipSpace(text, 0);
  while (at < text.length) {
    const character = text[at] ?? "";
    const inside = open.at(-1);
    const closes = (character === "}" && inside === "{") || (character === "]" && inside === "[");
    if (closes && (expected === "comma or end" || expected === "key or }" || expected === "value or ]")) {
      open.pop();
      expected = "comma or end";
      at += 1;
    } else if (expected === "comma or end") {
      if (inside === undefined || character !== ",") return at;
      expected = inside === "{" ? "key" : "value";
      at += 1;
    } else if (expected === "colon") {
      if (character !== ":") return at;
      expected = "value";
      at += 1;
    } else if (expected === "key" || expected === "key or }") {
      if (character !== '"') return at;
      const end = endOfString(text, at);
      if (!end.ok) return end.at;
      expected = "colon";
      at = end.at;
    } else if (character === "{" || character === "[") {
      open.push(character);
      expected = character === "{" ? "key or }" : "value or ]";
      at += 1;
    } else {
      const end = endOfScalar(text, at);
      if (!end.ok) return end.at;
      expected = "comma or end";
      at = end.at;
    }
    at = skipSpace(text, at);
  }
  return text.length;
}

interface End {
  readonly ok: boolean;
  /** Behind the value, or its first wrong character. */
  readonly at: number;
}

function endOfScalar(text: string, at: number): End {
  if (text[at] === '"') return endOfString(text, at);
  const word = WORDS.find((known) => text.startsWith(known, at));
  if (word !== undefined) return { ok: true, at: at + word.length };
  NUMBER.lastIndex = at;
  const [number] = NUMBER.exec(text) ?? [];
  return number === undefined ? { ok: false, at } : { ok: true, at: at + number.length };
}

function endOfString(text: string, start: number): End {
  for (let at = start + 1; at < text.length; at += 1) {
    const character = text[at] ?? "";
    if (character === '"') return { ok: true, at: at + 1 };
    if (character.charCodeAt(0) < FIRST_PRINTABLE) return { ok: false, at };
    if (character !== "\\") continue;
    const escaped = text[at + 1] ?? "";
    const isUnicode = escaped === "u" && /^[\da-fA-F]{4}$/.test(text.slice(at + 2, at + 6));
    if (!isUnicode && !ESCAPES.has(escaped)) return { ok: false, at };
    at += isUnicode ? 5 : 1;
  }
  return { ok: false, at: text.length };
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (SPACE.has(text[at] ?? "")) at += 1;
  return at;
}
