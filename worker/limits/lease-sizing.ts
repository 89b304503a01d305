// How much an isolate asks for, and when: what its demand of late will need of this window and the next one, and
// no more, since what it doesn't spend is lost to the others. Pure, its clock passed in.
import { LEASE_MARGIN_MS, RATE_WINDOW_MS } from "../../shared/limits.ts";
import type { HeldWindow } from "./lease-window.ts";

/** A lease's life, from its question on: with it ends what it says of its key (revoked, changed), milliseconds. */
export const LIFE_MS = 1_000 - LEASE_MARGIN_MS;

/** More is asked for when what is held lasts for less than this and two round trips, milliseconds: two paces. */
const LOOK_AHEAD_MS = 150;

/** And then for as much as this and two round trips need: what an isolate holds beyond it is lost to the others. */
const STOCK_MS = 200;

/** A window is prepared so long before it begins, milliseconds: its tokens live for a second from their question. */
const PREPARE_MS = 200;

/** And no earlier than that a token has this long to be spent: a short pause must not cost a window's tokens, milliseconds. */
const MIN_LIFE_MS = 200;

/** A window is prepared for this share of what is expected of it: what comes less than expected dies unspent. */
const EXPECTED_SHARE = 0.8;

/** A window for which less is expected isn't prepared: a question for each request is what it costs anyway. */
const MIN_EXPECTED = 2;

/** A window counts as prepared with this share of what it is expected to need. */
const PREPARED = 3 / 4;

/** An isolate that needs more than this share of a limit is most of its demand: at a quarter a question it must ask early and for all. */
const MAIN_ASKER = 3 / 4;

/** And holds enough where it holds this share of what the window still needs. */
const MAIN_STOCK = 0.9;

/** So little of a limit counts as nothing left: the last tokens would cost a question each. */
const SPARE = 1 / 128;

/** What is known when it is decided. */
export interface Outlook {
  readonly now: number;
  readonly quota: number;
  /** Requests a second that the isolate lately sees. */
  readonly perSecond: number;
  readonly window: HeldWindow;
  readonly next: HeldWindow;
  /** Tokens that were asked for and haven't come, of this window and the next one. */
  readonly coming: number;
  readonly comingNext: number;
  /** How long the last answer took. */
  readonly tripMs: number;
}

export interface Needs {
  readonly want: number;
  readonly wantNext: number;
  /** Whether it is time to ask. */
  readonly pressing: boolean;
}

interface Need {
  readonly want: number;
  readonly pressing: boolean;
}

const NOTHING: Need = { want: 0, pressing: false };

/** What counts as nothing left of a limit. */
export function spareOf(quota: number): number {
  return Math.floor(quota * SPARE);
}

export function needsOf(outlook: Outlook): Needs {
  const { window, quota, perSecond, coming } = outlook;
  if (!window.known) {
    // The first question in a while: half a window lies before it, as likely as not.
    const want = Math.min(quota, Math.ceil(perSecond / 2)) - coming;
    return { want: Math.max(0, want), wantNext: 0, pressing: false };
  }
  const isMain = perSecond > quota * MAIN_ASKER;
  const here = needsNow(outlook, isMain);
  const next = needsNext(outlook, isMain);
  return { want: here.want, wantNext: next.want, pressing: here.pressing || next.pressing };
}

function needsNow({ now, window, quota, perSecond, coming, tripMs }: Outlook, isMain: boolean): Need {
  const surelyFor = window.endsAfter - LEASE_MARGIN_MS - now;
  if (surelyFor <= 0 || window.remaining <= spareOf(quota)) return NOTHING;
  // Until it has surely ended: what comes when it may have spends tokens of both windows.
  const lasts = window.endsBefore - now;
  const held = window.held(now) + coming;
  const stock = isMain ? lasts : Math.min(lasts, STOCK_MS + 2 * tripMs);
  const enough = isMain ? MAIN_STOCK * lasts : Math.min(lasts, LOOK_AHEAD_MS + 2 * tripMs);
  const want = Math.max(0, Math.ceil(inTime(perSecond, stock)) - held);
  return { want, pressing: want > 0 && held < inTime(perSecond, enough) };
}

function needsNext(
  { now, window, next, quota, perSecond, comingNext, tripMs }: Outlook,
  isMain: boolean,
): Need {
  const startsIn = window.endsBefore - now;
  const isEarly = startsIn > LIFE_MS - MIN_LIFE_MS;
  // A question that comes when the object is in the next window already would be taken to mean the one after it.
  const isLate = window.endsAfter - LEASE_MARGIN_MS - now < tripMs;
  if (isEarly || isLate || (next.known && next.remaining === 0)) return NOTHING;
  const expected = Math.min(quota, Math.floor(EXPECTED_SHARE * inTime(perSecond, LIFE_MS - startsIn)));
  const want = expected - next.held(now) - comingNext;
  if (want < 1 || expected < MIN_EXPECTED) return NOTHING;
  const isDue = isMain || startsIn <= PREPARE_MS + 2 * tripMs;
  return { want, pressing: isDue && want >= expected * (1 - PREPARED) };
}

function inTime(perSecond: number, ms: number): number {
  return (perSecond * ms) / RATE_WINDOW_MS;
}
