// Reads processes' parents from /proc: if PM2 runs a server through a shell or a filter, the pid that nvidia-smi
// reports isn't the one that PM2 lists. Without /proc (not Linux) no parent is known.
import { readFile } from "node:fs/promises";

/** Longest chain of parents that is read: PM2, a shell, a filter, the server. */
const MAX_ANCESTORS = 8;

/** The parent of each given process and of each of its ancestors. */
export async function processParents(pids: Iterable<number>): Promise<ReadonlyMap<number, number>> {
  const parents = new Map<number, number>();
  for (const pid of pids) {
    let child = pid;
    for (let steps = 0; steps < MAX_ANCESTORS && child > 1 && !parents.has(child); steps += 1) {
      const parent = await parentOf(child);
      if (parent === null) break;
      parents.set(child, parent);
      child = parent;
    }
  }
  return parents;
}

async function parentOf(pid: number): Promise<number | null> {
  try {
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    const found = /^PPid:\s+(\d+)$/m.exec(status)?.[1];
    return found === undefined ? null : Number(found);
  } catch {
    return null;
  }
}
