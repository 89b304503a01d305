// Hours, days and months in UTC. Pure; times are milliseconds since 1970.

export const HOUR_MS = 60 * 60 * 1000;
export const DAY_MS = 24 * HOUR_MS;

export const hourStart = (at: number): number => at - (at % HOUR_MS);

export const dayStart = (at: number): number => at - (at % DAY_MS);

export const monthStart = (at: number): number => monthAfter(at, 0);

export const nextMonthStart = (at: number): number => monthAfter(at, 1);

/** `2026-11-23`. */
export const dayName = (at: number): string => new Date(at).toISOString().slice(0, 10);

/** `2026-11`. */
export const monthName = (at: number): string => new Date(at).toISOString().slice(0, 7);

function monthAfter(at: number, months: number): number {
  const date = new Date(at);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months, 1);
}
