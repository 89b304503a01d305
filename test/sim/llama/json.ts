// JSON as nlohmann's library writes and refuses it, because llama-server's bodies and its error texts come
// from there. Must not be used to read anything but client bodies.

/** A number that C++ holds as a double: written `1.0` if JavaScript would write `1` (transcript "props"). */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** A 32-bit float setting as llama-server prints it: 0.8 is 0.800000011920929. */
export const float32 = (value: number): Float => new Float(Math.fround(value));

export const float = (value: number): Float => new Float(value);

/** Compact JSON with keys in insertion order; `Float` keeps its decimal point, `undefined` members vanish. */
export function toJson(value: unknown): string {
  if (value instanceof Float) return floatText(value.value);
  if (Array.isArray(value)) return `[${value.map((item) => toJson(item)).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const members: string[] = [];
    for (const [key, member] of Object.entries(value)) {
      if (member !== undefined) members.push(`${JSON.stringify(key)}:${toJson(member)}`);
    }
    return `{${members.join(",")}}`;
  }
  return JSON.stringify(value) ?? "null";
}

function floatText(value: number): string {
  if (!Number.isFinite(value)) return "null";
  return Number.isInteger(value) && Math.abs(value) < 1e15 ? value.toFixed(1) : String(value);
}
