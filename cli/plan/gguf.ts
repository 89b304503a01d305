// Reads the header of a GGUF file: its metadata and its list of tensors, never the weights. The format is llama.cpp's
// (`ggml/include/gguf.h`): little-endian; magic, version, counts, then key-value pairs, then tensors.
import { open, type FileHandle } from "node:fs/promises";

export type GgufValue = number | bigint | boolean | string | GgufArray;

/** Arrays of numbers are kept; a vocabulary's thousands of strings are only counted. */
export interface GgufArray {
  readonly length: number;
  readonly numbers: readonly number[] | null;
}

export interface GgufFile {
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** All tensors' bytes. */
  readonly weightBytes: number;
  /** All tensors' values. */
  readonly parameters: number;
}

/** The file is missing, no GGUF file, or damaged; the message says which, and what to do. */
export class GgufError extends Error {
  readonly isMissing: boolean;

  constructor(message: string, isMissing = false) {
    super(message);
    this.isMissing = isMissing;
  }
}

const MAGIC = "GGUF";
/** The magic of a file for big-endian machines. */
const SWAPPED_MAGIC = "FUGG";
/** Version 1 had 32-bit counts; llama.cpp reads it no more. */
const VERSIONS = [2, 3];
const DEFAULT_ALIGNMENT = 32;
/** Headers are small next to this even with a vocabulary of a million words. */
const MAX_HEADER_BYTES = 512 * 1024 * 1024;
const MAX_PAIRS = 65_536;
const MAX_TENSORS = 1_000_000;
const MAX_DIMENSIONS = 4;
const MAX_KEPT_NUMBERS = 4_096;
const MAX_NAME_BYTES = 65_536;
const READ_BYTES = 4 * 1024 * 1024;

const DOWNLOAD = "Download it again and compare its checksum.";

/** @throws GgufError */
export async function readGguf(path: string): Promise<GgufFile> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new GgufError("there is no such file", true);
    throw new GgufError(`it can't be opened (${code ?? "unknown reason"}): check its owner and mode`);
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new GgufError("it is no file");
    return await readHeader(new HeaderReader(file, stat.size), stat.size);
  } finally {
    await file.close();
  }
}

async function readHeader(reader: HeaderReader, fileBytes: number): Promise<GgufFile> {
  const magic = (await reader.bytes(4)).toString("latin1");
  if (magic === SWAPPED_MAGIC) {
    throw new GgufError(
      "it is a big-endian GGUF file, which no x86 or ARM machine loads: convert the model again",
    );
  }
  if (magic !== MAGIC)
    throw new GgufError(`it is no GGUF file: it begins with ${printable(magic)}. ${DOWNLOAD}`);
  const version = await reader.u32();
  if (!VERSIONS.includes(version)) {
    throw new GgufError(`it has version ${version} of GGUF; 2 and 3 are known: convert the model again`);
  }
  const tensorCount = await reader.count(MAX_TENSORS, "tensors");
  const pairCount = await reader.count(MAX_PAIRS, "metadata entries");
  const metadata = new Map<string, GgufValue>();
  for (let at = 0; at < pairCount; at += 1) {
    const key = await reader.string();
    metadata.set(key, await readValue(reader, await reader.u32()));
  }
  const tensors: Tensor[] = [];
  for (let at = 0; at < tensorCount; at += 1) tensors.push(await readTensor(reader));
  const alignment = metadata.get("general.alignment");
  checkComplete(
    tensors,
    reader.position,
    typeof alignment === "number" ? alignment : DEFAULT_ALIGNMENT,
    fileBytes,
  );
  return {
    version,
    metadata,
    weightBytes: tensors.reduce((sum, { bytes }) => sum + bytes, 0),
    parameters: tensors.reduce((sum, { values }) => sum + values, 0),
  };
}

interface Tensor {
  readonly values: number;
  readonly bytes: number;
  readonly offset: number;
}

async function readTensor(reader: HeaderReader): Promise<Tensor> {
  await reader.string();
  const dimensions = await reader.u32();
  if (dimensions > MAX_DIMENSIONS) throw damaged(`a tensor has ${dimensions} dimensions`);
  let values = 1;
  for (let at = 0; at < dimensions; at += 1) values *= await reader.count(Number.MAX_SAFE_INTEGER, "values");
  const type = await reader.u32();
  const offset = await reader.count(Number.MAX_SAFE_INTEGER, "bytes");
  const layout = TENSOR_TYPES.get(type);
  if (layout === undefined)
    throw new GgufError(`a tensor has the type ${type}, which this version of isha doesn't know`);
  const bytes = (values / layout[0]) * layout[1];
  if (!Number.isSafeInteger(values)) throw damaged("a tensor has more values than any model");
  return { values, bytes: Math.ceil(bytes), offset };
}

/** A download that broke off has a whole header and too few weights. */
function checkComplete(
  tensors: readonly Tensor[],
  headerEnd: number,
  alignment: number,
  fileBytes: number,
): void {
  if (!Number.isSafeInteger(alignment) || alignment < 1) throw damaged(`its alignment is ${alignment}`);
  const dataStart = Math.ceil(headerEnd / alignment) * alignment;
  const end = tensors.reduce((last, { offset, bytes }) => Math.max(last, dataStart + offset + bytes), 0);
  if (end <= fileBytes) return;
  const missing = ((end - fileBytes) / 1024 ** 3).toFixed(2);
  throw new GgufError(`it is cut off: ${missing} GiB of its weights are missing. ${DOWNLOAD}`);
}

const damaged = (what: string): GgufError => new GgufError(`it is damaged: ${what}. ${DOWNLOAD}`);

/** Values per block and bytes per block, by ggml's number of the type (`ggml/src/ggml-common.h`). */
const TENSOR_TYPES: ReadonlyMap<number, readonly [values: number, bytes: number]> = new Map([
  [0, [1, 4]], // F32
  [1, [1, 2]], // F16
  [2, [32, 18]], // Q4_0
  [3, [32, 20]], // Q4_1
  [6, [32, 22]], // Q5_0
  [7, [32, 24]], // Q5_1
  [8, [32, 34]], // Q8_0
  [9, [32, 36]], // Q8_1
  [10, [256, 84]], // Q2_K
  [11, [256, 110]], // Q3_K
  [12, [256, 144]], // Q4_K
  [13, [256, 176]], // Q5_K
  [14, [256, 210]], // Q6_K
  [15, [256, 292]], // Q8_K
  [16, [256, 66]], // IQ2_XXS
  [17, [256, 74]], // IQ2_XS
  [18, [256, 98]], // IQ3_XXS
  [19, [256, 50]], // IQ1_S
  [20, [32, 18]], // IQ4_NL
  [21, [256, 110]], // IQ3_S
  [22, [256, 82]], // IQ2_S
  [23, [256, 136]], // IQ4_XS
  [24, [1, 1]], // I8
  [25, [1, 2]], // I16
  [26, [1, 4]], // I32
  [27, [1, 8]], // I64
  [28, [1, 8]], // F64
  [29, [256, 56]], // IQ1_M
  [30, [1, 2]], // BF16
  [34, [256, 54]], // TQ1_0
  [35, [256, 66]], // TQ2_0
  [39, [32, 17]], // MXFP4
]);

const ARRAY = 9;
const STRING = 8;

type Scalar = (reader: HeaderReader) => Promise<GgufValue>;

/** Readers of the scalar types, by `gguf_type`. */
const SCALARS: ReadonlyMap<number, Scalar> = new Map<number, Scalar>([
  [0, async (reader) => (await reader.bytes(1)).readUInt8()],
  [1, async (reader) => (await reader.bytes(1)).readInt8()],
  [2, async (reader) => (await reader.bytes(2)).readUInt16LE()],
  [3, async (reader) => (await reader.bytes(2)).readInt16LE()],
  [4, (reader) => reader.u32()],
  [5, async (reader) => (await reader.bytes(4)).readInt32LE()],
  [6, async (reader) => (await reader.bytes(4)).readFloatLE()],
  [7, async (reader) => (await reader.bytes(1)).readUInt8() !== 0],
  [STRING, (reader) => reader.string()],
  [10, async (reader) => (await reader.bytes(8)).readBigUInt64LE()],
  [11, async (reader) => (await reader.bytes(8)).readBigInt64LE()],
  [12, async (reader) => (await reader.bytes(8)).readDoubleLE()],
]);

async function readValue(reader: HeaderReader, type: number): Promise<GgufValue> {
  if (type !== ARRAY) return scalarReader(type)(reader);
  const element = await reader.u32();
  const length = await reader.count(MAX_HEADER_BYTES, "elements");
  const read = scalarReader(element);
  const numbers: number[] = [];
  let isNumeric = element !== STRING;
  for (let at = 0; at < length; at += 1) {
    if (element === STRING) {
      await reader.skipString();
      continue;
    }
    const value = await read(reader);
    isNumeric &&= typeof value !== "string" && length <= MAX_KEPT_NUMBERS;
    if (isNumeric) numbers.push(Number(value));
  }
  return { length, numbers: isNumeric ? numbers : null };
}

function scalarReader(type: number): Scalar {
  const read = SCALARS.get(type);
  if (read === undefined) throw damaged(`a metadata entry has the type ${type}`);
  return read;
}

/** Reads the file in order, a few megabytes at a time. */
class HeaderReader {
  readonly #file: FileHandle;
  readonly #fileBytes: number;
  #buffer: Buffer = Buffer.alloc(0);
  /** Position in the buffer. */
  #at = 0;
  /** Position of the buffer's end in the file. */
  #readTo = 0;

  constructor(file: FileHandle, fileBytes: number) {
    this.#file = file;
    this.#fileBytes = fileBytes;
  }

  get position(): number {
    return this.#readTo - (this.#buffer.length - this.#at);
  }

  async bytes(length: number): Promise<Buffer> {
    while (this.#buffer.length - this.#at < length) await this.#fill(length);
    this.#at += length;
    return this.#buffer.subarray(this.#at - length, this.#at);
  }

  async u32(): Promise<number> {
    return (await this.bytes(4)).readUInt32LE();
  }

  async count(max: number, of: string): Promise<number> {
    const value = (await this.bytes(8)).readBigUInt64LE();
    if (value > BigInt(max)) throw damaged(`it claims ${value} ${of}`);
    return Number(value);
  }

  async string(): Promise<string> {
    const length = await this.#stringLength();
    if (length > MAX_NAME_BYTES) {
      // A chat template may be longer than any name; only whether there is one matters.
      await this.#skip(length);
      return "(long text)";
    }
    return (await this.bytes(length)).toString("utf8");
  }

  async skipString(): Promise<void> {
    await this.#skip(await this.#stringLength());
  }

  async #stringLength(): Promise<number> {
    return this.count(MAX_HEADER_BYTES, "bytes in a text");
  }

  async #skip(length: number): Promise<void> {
    for (let left = length; left > 0;) {
      const step = Math.min(left, READ_BYTES);
      await this.bytes(step);
      left -= step;
    }
  }

  async #fill(wanted: number): Promise<void> {
    if (this.#readTo > MAX_HEADER_BYTES) throw damaged("its header is longer than any model's");
    const rest = this.#buffer.subarray(this.#at);
    const size = Math.max(wanted - rest.length, Math.min(READ_BYTES, this.#fileBytes - this.#readTo));
    const next = Buffer.alloc(Math.min(size, Math.max(this.#fileBytes - this.#readTo, 0)));
    const { bytesRead } = await this.#file.read(next, 0, next.length, this.#readTo);
    if (bytesRead === 0) throw new GgufError(`it is cut off: it ends inside its header. ${DOWNLOAD}`);
    this.#readTo += bytesRead;
    this.#buffer = Buffer.concat([rest, next.subarray(0, bytesRead)]);
    this.#at = 0;
  }
}

/** What a text editor could show of four bytes. */
function printable(text: string): string {
  return JSON.stringify(text.replaceAll(/[^\x20-\x7e]/g, "."));
}
