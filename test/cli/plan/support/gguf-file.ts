// Puts GGUF headers into files that have the size of a whole model and take no room: the weights are a hole.
import { open, truncate, writeFile } from "node:fs/promises";
import { ggufHeader, type Gguf } from "./gguf-writer.ts";

const ALIGNMENT = 32;

export async function writeGguf(path: string, file: Gguf): Promise<void> {
  const header = ggufHeader(file);
  await writeFile(path, header);
  const start = Math.ceil(header.length / ALIGNMENT) * ALIGNMENT;
  await truncate(path, start + (file.dataBytes ?? 0));
}

/** Cuts the file after so many bytes. */
export async function cutFile(path: string, bytes: number): Promise<void> {
  const file = await open(path, "r+");
  await file.truncate(bytes);
  await file.close();
}
