// Attributes GPU memory to servers: matches nvidia-smi's processes with the processes that PM2 started. Pure.
// 0 is a serious result (the server runs on the CPU), so it is returned only if no other memory on the cards could
// belong to the server.
import type { Gpu, GpuProcess } from "./gpu-csv.ts";

/** The most that the driver uses on a card without any process: 12 MiB on an RTX 3090, hundreds on larger cards. */
const DRIVER_GIB = 600 / 1_024;

export interface GpuMemoryInput {
  readonly gpus: readonly Gpu[] | null;
  readonly processes: readonly GpuProcess[] | null;
  /** The pid that PM2 started for each server, by PM2's name; null if none is running. */
  readonly servers: ReadonlyMap<string, number | null>;
  /** Parents of processes, if known: PM2 may have started a shell or filter that started the server. */
  readonly parents: ReadonlyMap<number, number>;
}

/** GPU memory of each server, GiB; null if unknown. */
export function gpuMemoryByServer(input: GpuMemoryInput): ReadonlyMap<string, number | null> {
  const { processes, servers } = input;
  const owners = new Map<number, string>();
  for (const [name, pid] of servers) if (pid !== null) owners.set(pid, name);

  const byServer = new Map<string, number | null>();
  const byCard = new Map<string | null, number>();
  let hasUnknown = processes === null;
  for (const { pid, memoryGib, gpuUuid } of processes ?? []) {
    const owner = ownerOf(pid, owners, input.parents);
    if (owner === null || memoryGib === null) hasUnknown = true;
    else byCard.set(gpuUuid, (byCard.get(gpuUuid) ?? 0) + memoryGib);
    if (owner !== null) byServer.set(owner, sum(byServer.get(owner), memoryGib));
  }
  const allKnown = !hasUnknown && isAttributed(input.gpus, byCard);
  return new Map(
    [...servers].map(([name, pid]) => {
      const gib = byServer.get(name);
      if (gib !== undefined) return [name, gib];
      return [name, pid !== null && allKnown ? 0 : null];
    }),
  );
}

const sum = (before: number | null | undefined, more: number | null): number | null =>
  before === null || more === null ? null : (before ?? 0) + more;

/** Longest chain of parents that is followed: PM2, a shell, a filter, the server. */
const MAX_ANCESTORS = 8;

function ownerOf(
  pid: number,
  owners: ReadonlyMap<number, string>,
  parents: ReadonlyMap<number, number>,
): string | null {
  let ancestor: number | undefined = pid;
  for (let steps = 0; ancestor !== undefined && steps <= MAX_ANCESTORS; steps += 1) {
    const owner = owners.get(ancestor);
    if (owner !== undefined) return owner;
    ancestor = parents.get(ancestor);
  }
  return null;
}

/** Whether all memory in use on every card belongs to processes with a known owner, except what the driver uses itself. */
function isAttributed(gpus: readonly Gpu[] | null, byCard: ReadonlyMap<string | null, number>): boolean {
  if (gpus === null || gpus.length === 0) return false;
  return gpus.every(
    ({ uuid, memoryUsedGib }) =>
      memoryUsedGib !== null && memoryUsedGib - (byCard.get(uuid) ?? 0) <= DRIVER_GIB,
  );
}
