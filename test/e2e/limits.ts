// A flood from one key, and what came of it in each of the edge's seconds.
import { Pool } from "undici";

/** One answer, by this machine's clock: the edge and its objects here go by the same. */
export interface Seen {
  readonly sentAt: number;
  readonly cameAt: number;
  readonly admitted: boolean;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

const WINDOW_MS = 1_000;

/** Calls at a time: enough that the edge, not the round trips, is what is waited for. */
const CONCURRENCY = 16;

/** Asks as fast as it is answered, until `enough` holds of what was seen; looks twice a second. */
export async function flood(
  edgeUrl: string,
  key: string,
  enough: (seen: readonly Seen[]) => boolean,
  forMs: number,
): Promise<Seen[]> {
  const pool = new Pool(edgeUrl, { connections: CONCURRENCY });
  const seen: Seen[] = [];
  const end = performance.now() + forMs;
  let isEnough = false;
  let lookAt = performance.now();
  async function ask(): Promise<void> {
    while (!isEnough && performance.now() < end) {
      const sentAt = Date.now();
      const { statusCode, headers, body } = await pool.request({
        path: "/v1/models",
        method: "GET",
        headers: { authorization: `Bearer ${key}` },
      });
      await body.dump();
      if (statusCode !== 200 && statusCode !== 429) throw new Error(`the edge answered ${statusCode}`);
      seen.push({ sentAt, cameAt: Date.now(), admitted: statusCode === 200, headers });
      if (performance.now() < lookAt) continue;
      lookAt = performance.now() + WINDOW_MS / 2;
      isEnough = enough(seen);
    }
  }
  try {
    await Promise.all(Array.from({ length: CONCURRENCY }, ask));
  } finally {
    await pool.destroy();
  }
  return seen;
}

export function numberIn(seen: Seen, header: string): number {
  return Number(seen.headers[header]);
}

/** `1s` or `120ms`. */
export function resetMs(seen: Seen): number {
  const [, count, unit] = /^(\d+)(m?s)$/.exec(String(seen.headers["x-ratelimit-reset-requests"])) ?? [];
  return Number(count) * (unit === "s" ? 1_000 : 1);
}

/**
 * The second an answer was counted in, as it says itself: it ends at or just before the reset it tells of, which is
 * right as long as an answer takes less than a second.
 */
function toldSecond(seen: Seen): number {
  return Math.floor((seen.cameAt + resetMs(seen)) / WINDOW_MS) - 1;
}

/** The second an answer fell in for sure, whatever it says; null where it may be either of two. */
function sureSecond({ sentAt, cameAt }: Seen): number | null {
  const second = Math.floor(sentAt / WINDOW_MS);
  return Math.floor(cameAt / WINDOW_MS) === second ? second : null;
}

/** What came of a second. */
export interface Second {
  /** Let in, as the answers tell. */
  readonly admitted: readonly Seen[];
  /** Let in for sure. */
  readonly surely: number;
  /** Answers that were asked and came within it. */
  readonly asked: number;
}

/** A pause of all answers: the machine stood still then, and what it lost is not the limits' loss. */
const STILL_MS = 100;

interface Counted {
  readonly admitted: Seen[];
  readonly cameAt: number[];
  surely: number;
}

/** The seconds that were flooded from beginning to end, with at least `asked` requests, without the first of them. */
export function floodedSeconds(seen: readonly Seen[], asked: number): Second[] {
  const seconds = new Map<number, Counted>();
  const at = (second: number): Counted => {
    const known = seconds.get(second) ?? { admitted: [], cameAt: [], surely: 0 };
    seconds.set(second, known);
    return known;
  };
  for (const one of seen) {
    const sure = sureSecond(one);
    if (sure !== null) at(sure).cameAt.push(one.cameAt);
    if (!one.admitted) continue;
    at(toldSecond(one)).admitted.push(one);
    if (sure !== null) at(sure).surely += 1;
  }
  return [...seconds.entries()]
    .sort(([a], [b]) => a - b)
    .slice(2, -2)
    .filter(([second, { cameAt }]) => cameAt.length >= asked && longestPause(second, cameAt) <= STILL_MS)
    .map(([, { admitted, surely, cameAt }]) => ({ admitted, surely, asked: cameAt.length }));
}

function longestPause(second: number, cameAt: readonly number[]): number {
  const times = [second * WINDOW_MS, ...cameAt.toSorted((a, b) => a - b), (second + 1) * WINDOW_MS];
  return Math.max(...times.slice(1).map((time, before) => time - (times[before] ?? time)));
}
