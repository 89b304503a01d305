// Writes an operator's files as a whole, so that an interrupted write leaves the old file; and reads their permissions.
import { randomBytes } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { CommandFailure, EXIT } from "./failure.ts";

/** Whether the group or others have any permission. @param mode as `stat` returns it */
export const isOpenToOthers = (mode: number): boolean => (mode & 0o077) !== 0;

/** Creates the file's folder too. @throws CommandFailure if that is impossible */
export async function writeWhole(path: string, text: string, mode = 0o644): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString("hex")}`;
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(temporary, "wx", mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new CommandFailure(EXIT.failed, `${path} can't be written (${code}).`);
  }
}
