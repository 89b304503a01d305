// Writes GGUF headers as llama.cpp's converter does, so that the reader is tested without gigabytes of weights.

export type Value =
  | { readonly type: "u8" | "i8" | "u16" | "i16" | "u32" | "i32" | "f32" | "f64"; readonly value: number }
  | { readonly type: "u64" | "i64"; readonly value: bigint }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "array"; readonly value: readonly Value[] };

export interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** ggml's number of the type. */
  readonly type: number;
  readonly offset: number;
}

export interface Gguf {
  readonly magic?: string;
  readonly version?: number;
  readonly metadata: Readonly<Record<string, Value>>;
  readonly tensors: readonly Tensor[];
  /** Bytes behind the header; as many as the tensors need by default. */
  readonly dataBytes?: number;
}

const TYPES = ["u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"];

export const u32 = (value: number): Value => ({ type: "u32", value });
export const text = (value: string): Value => ({ type: "string", value });
export const list = (...value: readonly Value[]): Value => ({ type: "array", value });

/** The header alone, without weights. */
export function ggufHeader({ magic = "GGUF", version = 3, metadata, tensors }: Gguf): Buffer {
  const pairs = Object.entries(metadata);
  return Buffer.concat([
    Buffer.from(magic, "latin1"),
    number(4, (buffer) => buffer.writeUInt32LE(version)),
    count(tensors.length),
    count(pairs.length),
    ...pairs.flatMap(([key, value]) => [string(key), typed(value)]),
    ...tensors.flatMap(({ name, shape, type, offset }) => [
      string(name),
      typeNumber(shape.length),
      ...shape.map(count),
      typeNumber(type),
      count(offset),
    ]),
  ]);
}

function typed(value: Value): Buffer {
  return Buffer.concat([typeNumber(TYPES.indexOf(value.type)), bytesOf(value)]);
}

function bytesOf(value: Value): Buffer {
  switch (value.type) {
    case "u8":
      return number(1, (buffer) => buffer.writeUInt8(value.value));
    case "i8":
      return number(1, (buffer) => buffer.writeInt8(value.value));
    case "u16":
      return number(2, (buffer) => buffer.writeUInt16LE(value.value));
    case "i16":
      return number(2, (buffer) => buffer.writeInt16LE(value.value));
    case "u32":
      return typeNumber(value.value);
    case "i32":
      return number(4, (buffer) => buffer.writeInt32LE(value.value));
    case "f32":
      return number(4, (buffer) => buffer.writeFloatLE(value.value));
    case "f64":
      return number(8, (buffer) => buffer.writeDoubleLE(value.value));
    case "u64":
      return number(8, (buffer) => buffer.writeBigUInt64LE(value.value));
    case "i64":
      return number(8, (buffer) => buffer.writeBigInt64LE(value.value));
    case "bool":
      return Buffer.from([value.value ? 1 : 0]);
    case "string":
      return string(value.value);
    case "array":
      return Buffer.concat([
        typeNumber(TYPES.indexOf(value.value[0]?.type ?? "u32")),
        count(value.value.length),
        ...value.value.map(bytesOf),
      ]);
  }
}

const string = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([count(bytes.length), bytes]);
};
const count = (value: number): Buffer => number(8, (buffer) => buffer.writeBigUInt64LE(BigInt(value)));
const typeNumber = (value: number): Buffer => number(4, (buffer) => buffer.writeUInt32LE(value));

function number(length: number, write: (buffer: Buffer) => void): Buffer {
  const buffer = Buffer.alloc(length);
  write(buffer);
  return buffer;
}

const Q6_K = { type: 14, values: 256, bytes: 210 };

/** A model of Llama 3.1 8B's shape, with weights of so many GiB, as Q6_K. */
export function llama8b(weightsGib: number, changes: Readonly<Record<string, Value>> = {}): Gguf {
  const rows = Math.round((weightsGib * 1024 ** 3) / Q6_K.bytes / 16);
  const dataBytes = rows * 16 * Q6_K.bytes;
  return {
    metadata: {
      "general.architecture": text("llama"),
      "llama.block_count": u32(32),
      "llama.context_length": u32(131_072),
      "llama.embedding_length": u32(4_096),
      "llama.attention.head_count": u32(32),
      "llama.attention.head_count_kv": u32(8),
      "tokenizer.chat_template": text("{{ messages }}"),
      "tokenizer.ggml.tokens": list(text("a"), text("b")),
      ...changes,
    },
    tensors: [{ name: "blk.0", shape: [Q6_K.values, rows * 16], type: Q6_K.type, offset: 0 }],
    dataBytes,
  };
}
