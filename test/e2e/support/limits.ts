// A flood from one key, and what is certain of each of the edge's seconds, however slowly its calls were answered.
import { Pool } from "undici";

/** One answer, by this machine's clock: the edge and its objects here go by the same. */
export interface Seen {
  readonly sentAt: number;
  readonly cameAt: number;
  readonly admitted: boolean;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

const WINDOW_MS = 1_000;

const CONCURRENCY = 8;

/** Asks as fast as it is answered, until `isEnough` holds of what was seen. */
export async function flood(
  edgeUrl: string,
  key: string,
  isEnough: (seen: readonly Seen[]) => boolean,
): Promise<Seen[]> {
  const pool = new Pool(edgeUrl, { connections: CONCURRENCY });
  const seen: Seen[] = [];
  async function ask(): Promise<void> {
    while (!isEnough(seen)) {
      const sentAt = Date.now();
      const { statusCode, headers, body } = await pool.request({
        path: "/v1/models",
        method: "GET",
        headers: { authorization: `Bearer ${key}` },
      });
      const text = await body.text();
      const cameAt = Date.now();
      // The limits could not be checked on a machine that froze: nothing was let in, and no limit refused it.
      if (text.includes('"limiter_unavailable"')) continue;
      if (statusCode !== 200 && statusCode !== 429)
        throw new Error(`the edge answered ${statusCode}: ${text}`);
      seen.push({ sentAt, cameAt, admitted: statusCode === 200, headers });
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

const secondOf = (at: number): number => Math.floor(at / WINDOW_MS);

/** What surely fell in each second: it was sent and answered within it, so it was counted there. */
export function bySecond(seen: readonly Seen[]): Seen[][] {
  const sure = seen.filter(({ sentAt, cameAt }) => secondOf(sentAt) === secondOf(cameAt));
  return [...Map.groupBy(sure, ({ sentAt }) => secondOf(sentAt)).values()];
}

/** Some seconds in a row, and how many calls were surely let in within them. */
export interface TimeRange {
  readonly seconds: number;
  readonly admitted: number;
}

/** All stretches of seconds: a call that fell in one of two seconds surely fell in the stretch of both. */
export function stretches(seen: readonly Seen[]): TimeRange[] {
  const admitted = seen
    .filter((one) => one.admitted)
    .map(({ sentAt, cameAt }) => ({ from: secondOf(sentAt), to: secondOf(cameAt) }));
  const firsts = [...new Set(admitted.map(({ from }) => from))];
  const lasts = [...new Set(admitted.map(({ to }) => to))];
  return firsts.flatMap((first) =>
    lasts
      .filter((last) => last >= first)
      .map((last) => ({
        seconds: last - first + 1,
        admitted: admitted.filter(({ from, to }) => from >= first && to <= last).length,
      })),
  );
}
