// Which server holds how much of the card's memory: processes by their numbers, matched with PM2's. Pure.
// "Holds nothing" is a grave word (the server is on the CPU), so it is said only where nothing else on the
// cards could be the server's memory.
import type { Gpu, GpuProcess } from "./gpu-csv.ts";

const MIB_PER_GIB = 1024;

/** What the driver holds on a card with no process at all, MiB, at most: 12 on an RTX 3090, hundreds on larger ones. */
const DRIVER_MIB = 600;

export interface GpuMemoryInput {
  readonly gpus: readonly Gpu[] | null;
  readonly processes: readonly GpuProcess[] | null;
  /** Names of servers (PM2's) with the number of the process PM2 started; null where none runs. */
  readonly servers: ReadonlyMap<string, number | null>;
  /** Parents of processes, where known: PM2 may have started a shell or filter that started the server. */
  readonly parents: ReadonlyMap<number, number>;
}

/** GPU memory of each server, GiB; null where it can't be told. */
export function gpuMemoryOfServers(input: GpuMemoryInput): ReadonlyMap<string, number | null> {
  const { processes, servers } = input;
  const owners = new Map<number, string>();
  for (const [name, pid] of servers) if (pid !== null) owners.set(pid, name);

  const held = new Map<string, number | null>();
  const attributed = new Map<string | null, number>();
  let strangers = processes === null;
  for (const { pid, memoryMib, gpuUuid } of processes ?? []) {
    const owner = ownerOf(pid, owners, input.parents);
    if (owner === null || memoryMib === null) strangers = true;
    else attributed.set(gpuUuid, (attributed.get(gpuUuid) ?? 0) + memoryMib);
    if (owner !== null) held.set(owner, sum(held.get(owner), memoryMib));
  }
  const allKnown = !strangers && isAccountedFor(input.gpus, attributed);
  return new Map(
    [...servers].map(([name, pid]) => {
      const mib = held.get(name);
      if (mib !== undefined) return [name, mib === null ? null : mib / MIB_PER_GIB];
      return [name, pid !== null && allKnown ? 0 : null];
    }),
  );
}

const sum = (before: number | null | undefined, more: number | null): number | null =>
  before === null || more === null ? null : (before ?? 0) + more;

/** How far up a family is looked: PM2, a shell, a filter, the server. */
const MAX_ANCESTORS = 8;

function ownerOf(
  pid: number,
  owners: ReadonlyMap<number, string>,
  parents: ReadonlyMap<number, number>,
): string | null {
  let at: number | undefined = pid;
  for (let steps = 0; at !== undefined && steps <= MAX_ANCESTORS; steps += 1) {
    const owner = owners.get(at);
    if (owner !== undefined) return owner;
    at = parents.get(at);
  }
  return null;
}

/** Every card's memory is that of processes whose owner is known, up to what the driver keeps for itself. */
function isAccountedFor(
  gpus: readonly Gpu[] | null,
  attributed: ReadonlyMap<string | null, number>,
): boolean {
  if (gpus === null || gpus.length === 0) return false;
  return gpus.every(
    ({ uuid, memoryUsedMib }) =>
      memoryUsedMib !== null && memoryUsedMib - (attributed.get(uuid) ?? 0) <= DRIVER_MIB,
  );
}
