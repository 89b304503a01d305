// Time to a streamed answer's first byte, through both hops and straight from the origin, by turns and one
// call at a time.
import { Pool } from "undici";
import type { Call } from "./calls.ts";
import { send } from "./load.ts";
import { quantile } from "./statistics.ts";

const WARM_UP = 50;
const TURNS = 400;

export interface FirstByte {
  readonly addedP50Ms: number;
  readonly directP50Ms: number;
  readonly throughP50Ms: number;
  readonly throughP95Ms: number;
}

export async function measureFirstByte(
  direct: { readonly url: string; readonly calls: readonly Call[] },
  through: { readonly url: string; readonly calls: readonly Call[] },
): Promise<FirstByte> {
  const pools = [
    new Pool(direct.url, { connections: 1 }),
    new Pool(through.url, { connections: 1 }),
  ] as const;
  const times = { direct: [] as number[], through: [] as number[] };
  try {
    for (let turn = -WARM_UP; turn < TURNS; turn += 1) {
      const straight = await send(pools[0], turnOf(direct.calls, turn));
      const round = await send(pools[1], turnOf(through.calls, turn));
      if (turn < 0) continue;
      times.direct.push(straight.firstByteMs);
      times.through.push(round.firstByteMs);
    }
  } finally {
    await Promise.all(pools.map((pool) => pool.destroy()));
  }
  const directP50Ms = quantile(times.direct, 0.5);
  const throughP50Ms = quantile(times.through, 0.5);
  return {
    addedP50Ms: throughP50Ms - directP50Ms,
    directP50Ms,
    throughP50Ms,
    throughP95Ms: quantile(times.through, 0.95),
  };
}

function turnOf(calls: readonly Call[], turn: number): Call {
  const call = calls[(turn + WARM_UP) % calls.length];
  if (call === undefined) throw new Error("there is no call to send");
  return call;
}
