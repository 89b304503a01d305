// A program that writes a model's file for rehearsals: `gguf.ts PATH GIB`. It has a real header and takes no room.
import { writeGguf } from "../cli/plan/support/gguf-file.ts";
import { llama8b } from "../cli/plan/support/gguf-writer.ts";

const [path, gib] = process.argv.slice(2);
if (path === undefined || !(Number(gib) > 0)) {
  console.error("usage: gguf.ts PATH GIB");
  process.exitCode = 1;
} else await writeGguf(path, llama8b(Number(gib)));
