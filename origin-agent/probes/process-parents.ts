// Who started a process: PM2 may run a server through a shell or a filter, and then the number nvidia-smi
// names isn't the one PM2 lists. Read from /proc; elsewhere than on Linux nothing is known.
import { readFile } from "node:fs/promises";

/** How far up is looked; PM2, a shell, a filter, the server. */
const MAX_ANCESTORS = 8;

/** Each process's parent, for those given and their forebears. */
export async function processParents(pids: Iterable<number>): Promise<ReadonlyMap<number, number>> {
  const parents = new Map<number, number>();
  for (const pid of pids) {
    let at = pid;
    for (let steps = 0; steps < MAX_ANCESTORS && at > 1 && !parents.has(at); steps += 1) {
      const parent = await parentOf(at);
      if (parent === null) break;
      parents.set(at, parent);
      at = parent;
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
