// Reads a body as nlohmann's parser does: the same values as JavaScript's, but stricter, and with error texts
// that quote what was read last (transcript "error-bad-json"; README, "Strings").
import { isUtf8 } from "node:buffer";
import { serverError } from "./errors.ts";
import { isBody } from "./params.ts";
import type { Body } from "./params.ts";

/** Escapes and numbers that JavaScript's parser takes and nlohmann's may not: a slower look is due. */
const SUSPICIOUS = /\\u[dD][89a-fA-F]|[eE]\+?\d{3}|\d{300}/;

/** The body as an object. What isn't JSON is a 500, as with the real program. */
export function readBody(bytes: Buffer): Body {
  const text = bytes.toString("utf8");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    check(bytes);
    throw serverError("[json.exception.parse_error.101] parse error: syntax error");
  }
  if (SUSPICIOUS.test(text) || !isUtf8(bytes)) check(bytes);
  return isBody(value) ? value : {};
}

/** Throws what nlohmann would throw; returns where it would not. */
function check(bytes: Buffer): void {
  const reader = new Reader(bytes);
  reader.next();
  reader.value();
  if (reader.next() !== "end of input") reader.fail("value", "end of input");
}

const LITERALS: Record<string, string> = { t: "true", f: "false", n: "null" };
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const CLOSERS: Record<string, string> = {
  "[": "'['",
  "{": "'{'",
  "]": "']'",
  "}": "'}'",
  ":": "':'",
  ",": "','",
};

class Reader {
  /** One character a byte: positions are bytes in nlohmann's messages. */
  readonly #text: string;
  readonly #bytes: Buffer;
  #at = 0;
  /** Where the text that an error quotes begins: the last string, number or literal. */
  #mark = 0;
  #token = "";
  #problem = "";

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#text = bytes.toString("latin1");
  }

  /** Reads the next token and names it as nlohmann does. */
  next(): string {
    while (/[ \t\r\n]/.test(this.#text[this.#at] ?? "x")) this.#at += 1;
    const sign = this.#text[this.#at];
    if (sign === undefined) {
      this.#at += 1;
      return (this.#token = "end of input");
    }
    const bracket = CLOSERS[sign];
    if (bracket) {
      this.#at += 1;
      return (this.#token = bracket);
    }
    return (this.#token = this.#scan(sign));
  }

  value(): void {
    if (this.#token === "'{'") this.#object();
    else if (this.#token === "'['") this.#array();
    else if (this.#token === "<parse error>") this.fail("value");
    else if (!this.#token.endsWith("literal")) this.fail("value", "'[', '{', or a literal");
  }

  fail(context: string, expected = ""): never {
    const read = this.#text.slice(0, this.#at);
    const line = read.split("\n").length;
    const column = this.#at - (read.lastIndexOf("\n") + 1);
    const unexpected = `unexpected ${this.#token}`;
    const what =
      this.#token === "<parse error>" ? `${this.#problem}; last read: '${this.#quote()}'` : unexpected;
    const wanted = expected === "" ? "" : `; expected ${expected}`;
    throw serverError(
      `[json.exception.parse_error.101] parse error at line ${line}, column ${column}: ` +
        `syntax error while parsing ${context} - ${what}${wanted}`,
    );
  }

  #object(): void {
    if (this.next() === "'}'") return;
    for (;;) {
      if (this.#token !== "string literal") this.fail("object key", "string literal");
      if (this.next() !== "':'") this.fail("object separator", "':'");
      this.next();
      this.value();
      const after = this.next();
      if (after === "'}'") return;
      if (after !== "','") this.fail("object", "'}'");
      this.next();
    }
  }

  #array(): void {
    if (this.next() === "']'") return;
    for (;;) {
      this.value();
      const after = this.next();
      if (after === "']'") return;
      if (after !== "','") this.fail("array", "']'");
      this.next();
    }
  }

  #scan(sign: string): string {
    if (sign === '"') return this.#string();
    if (sign === "-" || (sign >= "0" && sign <= "9")) return this.#number();
    const literal = LITERALS[sign];
    if (literal === undefined) return this.#bad("invalid literal", this.#at + 1);
    this.#mark = this.#at;
    if (this.#text.startsWith(literal, this.#at)) {
      this.#at += literal.length;
      return `${literal} literal`;
    }
    let wrong = 1;
    while (this.#text[this.#at + wrong] === literal[wrong]) wrong += 1;
    return this.#bad("invalid literal", this.#at + wrong + 1);
  }

  #number(): string {
    this.#mark = this.#at;
    NUMBER.lastIndex = this.#at;
    const found = NUMBER.exec(this.#text)?.[0];
    if (found === undefined) return this.#bad("invalid number; expected digit after '-'", this.#at + 2);
    this.#at += found.length;
    if (!Number.isFinite(Number(found))) {
      throw serverError(`[json.exception.out_of_range.406] number overflow parsing '${found}'`);
    }
    return "number literal";
  }

  #string(): string {
    this.#mark = this.#at;
    for (let at = this.#at + 1; ; at += 1) {
      const sign = this.#text[at];
      if (sign === undefined) return this.#bad("invalid string: missing closing quote", at + 1);
      if (sign === '"') {
        this.#at = at + 1;
        return isUtf8(this.#bytes.subarray(this.#mark, this.#at)) ? "string literal" : this.#illFormed();
      }
      if (sign < " ") return this.#bad(`invalid string: control character ${controlName(sign)}`, at + 1);
      if (sign !== "\\") continue;
      const problem = this.#escape(at + 1);
      if (problem) return this.#bad(problem[0], problem[1]);
      at += this.#text[at + 1] === "u" ? 5 : 1;
      if (isHighSurrogate(this.#text.slice(at - 3, at + 1)) && this.#text[at - 4] === "u") at += 6;
    }
  }

  /** What is wrong with the escape at `at`, and how far it was read; null for a good one. */
  #escape(at: number): [string, number] | null {
    const sign = this.#text[at] ?? "";
    if (sign !== "u") {
      return '"\\/bfnrt'.includes(sign) && sign !== ""
        ? null
        : ["invalid string: forbidden character after backslash", at + 1];
    }
    const code = this.#text.slice(at + 1, at + 5);
    if (!/^[\da-f]{4}$/i.test(code))
      return ["invalid string: '\\u' must be followed by 4 hex digits", at + 5];
    if (/^d[c-f]/i.test(code)) {
      return ["invalid string: surrogate U+DC00..U+DFFF must follow U+D800..U+DBFF", at + 5];
    }
    if (isHighSurrogate(code) && !/^\\ud[c-f]/i.test(this.#text.slice(at + 5, at + 9))) {
      return ["invalid string: surrogate U+D800..U+DBFF must be followed by U+DC00..U+DFFF", at + 6];
    }
    return null;
  }

  #illFormed(): string {
    let end = this.#mark + 1;
    while (end < this.#at && !beginsIllFormed(this.#bytes.subarray(this.#mark, end))) end += 1;
    return this.#bad("invalid string: ill-formed UTF-8 byte", end);
  }

  #bad(problem: string, end: number): string {
    this.#problem = problem;
    this.#at = end;
    return "<parse error>";
  }

  #quote(): string {
    const quoted = this.#bytes.subarray(this.#mark, this.#at).toString("utf8");
    return Array.from(quoted, (sign) => (sign < " " ? `<U+${hex4(sign)}>` : sign)).join("");
  }
}

const isHighSurrogate = (code: string): boolean => /^d[89ab]/i.test(code);

/** Whether these bytes can't be completed to valid UTF-8 by adding more. */
function beginsIllFormed(bytes: Buffer): boolean {
  for (let cut = 0; cut < 4 && cut <= bytes.length; cut += 1) {
    if (isUtf8(bytes.subarray(0, bytes.length - cut))) return cut > 0 && (bytes.at(-cut) ?? 0) < 0xc2;
  }
  return true;
}

const hex4 = (sign: string): string => sign.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");

function controlName(sign: string): string {
  const short: Record<string, [string, string]> = {
    "\b": ["BS", "\\b"],
    "\t": ["HT", "\\t"],
    "\n": ["LF", "\\n"],
    "\f": ["FF", "\\f"],
    "\r": ["CR", "\\r"],
  };
  const [name, escape] = short[sign] ?? ["control", ""];
  const or = escape === "" ? "" : ` or ${escape}`;
  return `U+${hex4(sign)} (${name}) must be escaped to \\u${hex4(sign)}${or}`;
}
