// Writes a text that a regular expression matches, for schemas with `pattern`. Covers what llama-server's own
// converter covers: literals, classes, groups, alternatives, counts. Returns null for anything else, as there.

/** Counts up to this many are written out where a pattern sets no end. */
const MOST_REPEATS = 3;
const CLASSES: Record<string, string> = { d: "7", w: "a", s: " ", D: "x", W: "-", S: "x", n: "\n", t: "\t" };

/** A text that `pattern` matches; null if the pattern has parts that aren't covered. */
export function matching(pattern: string, choose: (of: number) => number): string | null {
  try {
    const reader = new PatternReader(pattern, choose);
    const text = reader.alternatives();
    return reader.isDone && new RegExp(pattern, "u").test(text) ? text : null;
  } catch {
    return null;
  }
}

class PatternReader {
  readonly #pattern: string;
  readonly #choose: (of: number) => number;
  #at = 0;

  constructor(pattern: string, choose: (of: number) => number) {
    this.#pattern = pattern;
    this.#choose = choose;
  }

  get isDone(): boolean {
    return this.#at === this.#pattern.length;
  }

  alternatives(): string {
    const texts = [this.#sequence()];
    while (this.#take("|")) texts.push(this.#sequence());
    return texts[this.#choose(texts.length)] ?? "";
  }

  #sequence(): string {
    let text = "";
    while (!this.isDone && !"|)".includes(this.#peek())) {
      const start = this.#at;
      let atom = this.#atom();
      const [least, most] = this.#counts();
      const count = least + this.#choose(Math.min(most, least + MOST_REPEATS) - least + 1);
      const after = this.#at;
      for (let times = 0; times < count; times += 1) {
        this.#at = start;
        atom = this.#atom();
        text += atom;
      }
      this.#at = after;
    }
    return text;
  }

  #atom(): string {
    const sign = this.#pattern[this.#at++] ?? "";
    if (sign === "^" || sign === "$") return "";
    if (sign === ".") return "x";
    if (sign === "[") return this.#class();
    if (sign === "\\") return this.#escaped();
    if (sign !== "(") return sign;
    if (this.#take("?") && !this.#take(":")) throw new Error("a group that isn't covered");
    const text = this.alternatives();
    if (!this.#take(")")) throw new Error("an open group");
    return text;
  }

  #class(): string {
    if (this.#take("^")) throw new Error("a negated class");
    const signs: string[] = [];
    while (this.#peek() !== "]") {
      if (this.isDone) throw new Error("an open class");
      const sign = this.#take("\\") ? this.#escaped() : (this.#pattern[this.#at++] ?? "");
      signs.push(sign);
      if (this.#peek() === "-" && this.#pattern[this.#at + 1] !== "]") this.#at += 2;
    }
    this.#at += 1;
    return signs[this.#choose(signs.length)] ?? "";
  }

  #escaped(): string {
    const sign = this.#pattern[this.#at++] ?? "";
    if (/[1-9bBkpPuxc]/.test(sign)) throw new Error("an escape that isn't covered");
    return CLASSES[sign] ?? sign;
  }

  #counts(): [least: number, most: number] {
    if (this.#take("*")) return [0, Infinity];
    if (this.#take("+")) return [1, Infinity];
    if (this.#take("?")) return [0, 1];
    const found = /^\{(\d+)(,(\d*))?\}/.exec(this.#pattern.slice(this.#at));
    if (!found) return [1, 1];
    this.#at += found[0].length;
    const least = Number(found[1]);
    if (found[2] === undefined) return [least, least];
    return [least, found[3] === "" ? Infinity : Number(found[3])];
  }

  #peek(): string {
    return this.#pattern[this.#at] ?? "";
  }

  #take(sign: string): boolean {
    if (this.#peek() !== sign) return false;
    this.#at += 1;
    return true;
  }
}
