// Checks what the tests need of the machine before they start, so that its lack is one message instead of many failures.
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../paths.ts";

/** @returns what to report; null: all of them are there */
export function missingFile(files: readonly string[]): string | null {
  const missing = files.find((file) => !existsSync(join(ROOT, file)));
  return missing === undefined ? null : `There is no test file ${missing}.`;
}

const NEEDED_FOLDERS = [
  {
    name: "TMPDIR",
    folder: tmpdir(),
    advice: "Set TMPDIR to a folder that exists and can be written.",
  },
  {
    name: "The repository",
    folder: join(ROOT, ".wrangler"),
    advice: "The tests keep their state in it: run them in a clone that can be written.",
  },
];

/** @returns what to report; null: nothing is missing */
export function missingFolder(): string | null {
  for (const { name, folder, advice } of NEEDED_FOLDERS) {
    try {
      if (name !== "TMPDIR") mkdirSync(folder, { recursive: true });
      rmSync(mkdtempSync(join(folder, "isha-test-")), { recursive: true });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return `${name} can't be written (${reason}). ${advice}`;
    }
  }
  return null;
}
