// The simulated card of one box: the memory of each running server as the fleet file plans it, and utilisation,
// temperature and power that follow the slots in use. Pure: the state comes in, the switches of test/sim/nvidia-smi.ts go out.
import { gpuMemoryGib } from "../../shared/gpu-memory.ts";
import type { Box, Server } from "../../shared/fleet.ts";

/** A server's process; the card holds nothing of one that isn't running. */
export interface CardServer {
  server: Server;
  pid: number;
  /** Share of its weights that is in memory, from 0 to 1. */
  loaded: number;
  busySlots: number;
}

/** How long a server of this size loads: about 1 GiB/s, as from an SSD. */
export const loadMs = ({ weightsGib }: Pick<Server, "weightsGib">) => 1_000 + Math.round(weightsGib * 1_000);

const IDLE = { celsius: 41, watts: 28, limitWatts: 350 };
const BUSY = { celsius: 68, watts: 325 };

/** One busy slot keeps most of a card's time; further ones share what is left. */
const ONE_SLOT_PERCENT = 62;

/** How far the temperature gets towards its goal in a second. */
const WARMING = 0.08;

/** @param before the temperature a second ago; null at the start */
export function cardOf(
  box: Pick<Box, "gpu" | "vramGib">,
  servers: readonly CardServer[],
  before: number | null,
) {
  const utilization = utilizationPercent(servers);
  const share = utilization / 100;
  const goal = IDLE.celsius + share * (BUSY.celsius - IDLE.celsius);
  const celsius = before === null ? goal : before + (goal - before) * WARMING;
  const switches = {
    gpus: [
      {
        name: box.gpu,
        memoryTotalMiB: Math.round(box.vramGib * 1_024),
        utilization,
        memoryUtilization: Math.round(utilization * 0.8),
        temperature: Math.round(celsius),
        powerDraw: Math.round(IDLE.watts + share * (BUSY.watts - IDLE.watts)),
        powerLimit: IDLE.limitWatts,
        clocksSm: utilization === 0 ? 210 : 1_695,
        pstate: utilization === 0 ? "P8" : "P2",
      },
    ],
    processes: servers.map(({ server, pid, loaded }) => ({ pid, memoryMiB: memoryMib(server, loaded) })),
  };
  return { switches, celsius };
}

function utilizationPercent(servers: readonly CardServer[]) {
  const busy = servers.reduce((sum, { busySlots }) => sum + busySlots, 0);
  return busy === 0 ? 0 : Math.min(99, Math.round(100 - (100 - ONE_SLOT_PERCENT) / busy));
}

function memoryMib(server: Server, loaded: number) {
  const { total, context } = gpuMemoryGib(server);
  return Math.round((context + (total - context) * loaded) * 1_024);
}
