// Stretches of time and moments as an operator reads them.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Up to here the next smaller unit is told as well: "3 min 20 s" is of use, "47 min 20 s" isn't. */
const TELL_BOTH_BELOW = 10;

/** "12 s", "3 min 20 s", "2 h 5 min", "4 d"; below a second "0 s", since nobody acts on less. */
export function durationWords(ms: number): string {
  const whole = Math.max(0, ms);
  if (whole < MINUTE) return `${Math.floor(whole / SECOND)} s`;
  if (whole < HOUR) return inUnits(whole, MINUTE, "min", SECOND, "s");
  if (whole < DAY) return inUnits(whole, HOUR, "h", MINUTE, "min");
  return inUnits(whole, DAY, "d", HOUR, "h");
}

function inUnits(ms: number, large: number, largeName: string, small: number, smallName: string): string {
  const count = Math.floor(ms / large);
  const rest = Math.floor((ms - count * large) / small);
  return count < TELL_BOTH_BELOW && rest > 0
    ? `${count} ${largeName} ${rest} ${smallName}`
    : `${count} ${largeName}`;
}

/** "since 12 s"; empty where nobody saw it begin. */
export function sinceWords(since: number | null, now: number): string {
  return since === null ? "" : `since ${durationWords(now - since)}`;
}

/** Time of the day as the operator's own clock has it. */
export function clockTime(at: number): string {
  return new Date(at).toLocaleTimeString("en-GB");
}

/** A moment of any day, short. */
export function dayAndTime(at: number): string {
  return new Date(at).toLocaleString("en-GB", {
    day: "numeric",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
  });
}

/** A day, short. */
export function dayWords(at: number): string {
  return new Date(at).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
}
