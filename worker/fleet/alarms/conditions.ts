// What should wake somebody: conditions over what the boxes say, each with how long it must hold, told once when it
// begins to count and once when it is over. Pure; the Fleet object looks, posts and keeps the state.
import { durationText } from "../../../shared/duration.ts";
import type { LinkState } from "../../../shared/wire.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;

/** How long each condition must hold before it wakes somebody, milliseconds (design section 4). */
export const ALARM_AFTER_MS = {
  "box-silent": MINUTE_MS,
  /** An 8B model loads in 5 to 20 s; PM2's back-off adds as much. */
  "not-ready": 2 * MINUTE_MS,
  "restart-loop": 0,
  /** One slow minute is a burst; a model on the CPU stays so. */
  slow: MINUTE_MS,
  heat: MINUTE_MS,
  errors: 0,
  "usage-behind": 0,
} as const;
export type AlarmKind = keyof typeof ALARM_AFTER_MS;

/** So many restarts within so long are a loop: PM2's back-off starts another every 15 s at most. */
export const LOOP_RESTARTS = 3;
export const LOOP_WINDOW_MS = 10 * MINUTE_MS;

/** A card this hot is about to slow itself down, °C: consumer cards throttle from 83 to 93. */
export const HOT_C = 87;

/** Of at least so many calls in five minutes so great a share failed. */
export const ERROR_CALLS = 20;
export const ERROR_SHARE = 0.2;

/** Usage that isn't in the ledger for so long, milliseconds: the link's own silence is told sooner. */
export const BEHIND_MS = 5 * MINUTE_MS;

/** A condition must be gone for so long before its end is told, milliseconds: one that flaps wakes nobody twice. */
export const CALM_MS = 15 * SECOND_MS;

/** What the conditions are read from: one box as it last spoke. */
export interface WatchedBox {
  readonly name: string;
  /** Null for never. */
  readonly lastSeenAt: number | null;
  /** False where no agent's words are to be had: nothing is known of its servers then, good or bad. */
  readonly speaks: boolean;
  readonly draining: boolean;
  readonly servers: readonly {
    readonly port: number;
    /** Empty where it isn't known. */
    readonly model: string;
    readonly state: LinkState;
    readonly why: string;
    readonly restarts: number | null;
  }[];
  /** The hottest card; null where nobody says. */
  readonly temperatureC: number | null;
  readonly usageBehindMs: number | null;
  readonly journal: "ok" | "full" | "failing";
  /** Over the last five minutes. */
  readonly calls: number;
  readonly failed: number;
}

/** A condition that holds at this look. */
interface Condition {
  readonly id: string;
  readonly kind: AlarmKind;
  readonly text: string;
}

interface ActiveAlarm {
  readonly kind: AlarmKind;
  readonly text: string;
  /** Since when the condition holds, milliseconds since 1970. */
  readonly since: number;
  /** Whether somebody was told. */
  readonly told: boolean;
  /** Since when it holds no more; null while it does. */
  readonly goneAt: number | null;
}

/** Restarts seen of one server: their count as last told, and when it grew. */
interface Restarts {
  readonly count: number;
  readonly at: readonly number[];
}

/** What is kept between looks; plain data, so that it can be stored. */
export interface AlarmState {
  readonly standing: Readonly<Record<string, ActiveAlarm>>;
  readonly restarts: Readonly<Record<string, Restarts>>;
  /** When the first look was: before that nothing can have been silent. */
  readonly since: number | null;
}

export const NO_ALARMS: AlarmState = { standing: {}, restarts: {}, since: null };

/** What is to be told. */
export interface AlarmNews {
  readonly id: string;
  readonly kind: AlarmKind;
  readonly state: "raised" | "recovered";
  readonly text: string;
  readonly advice: string;
  readonly since: number;
}

/** One look: which alarms begin, which are over, and what to keep. */
export function look(
  state: AlarmState,
  boxes: readonly WatchedBox[],
  now: number,
): { readonly state: AlarmState; readonly news: readonly AlarmNews[] } {
  const since = state.since ?? now;
  const restarts = boxes.reduce((kept, box) => countRestarts(kept, box, now), state.restarts);
  const conditions = boxes.flatMap((box) => conditionsOf(box, restarts, since, now));
  const standing: Record<string, ActiveAlarm> = {};
  const news: AlarmNews[] = [];
  for (const { id, kind, text, heldSince } of conditions) {
    const before = state.standing[id];
    const began = before?.since ?? heldSince ?? now;
    const told = before?.told === true || now - began >= ALARM_AFTER_MS[kind];
    const one = { kind, text, since: began, told, goneAt: null };
    standing[id] = one;
    if (told && before?.told !== true) news.push(newsOf(id, one, "raised"));
  }
  const speechless = new Set(boxes.filter(({ speaks }) => !speaks).map(({ name }) => name));
  for (const [id, before] of Object.entries(state.standing)) {
    if (standing[id] !== undefined) continue;
    if (before.kind !== "box-silent" && speechless.has(boxOf(id))) {
      // Nobody says that it is over, and the time it has held isn't lost to a link that broke.
      standing[id] = before;
      continue;
    }
    // What nobody was told of may go as it came.
    if (!before.told) continue;
    const goneAt = before.goneAt ?? now;
    if (now - goneAt < CALM_MS) standing[id] = { ...before, goneAt };
    else news.push(newsOf(id, before, "recovered"));
  }
  return { state: { standing, restarts: ofBoxes(restarts, boxes), since }, news };
}

/** An alarm's id is its kind, its box and for a server's the port, with colons, which names don't have. */
const boxOf = (id: string): string => id.split(":")[1] ?? "";

/** The alarms that hold and were told. */
export function raised(state: AlarmState): AlarmNews[] {
  return Object.entries(state.standing)
    .filter(([, one]) => one.told && one.goneAt === null)
    .map(([id, one]) => newsOf(id, one, "raised"));
}

function newsOf(id: string, { kind, text, since }: ActiveAlarm, state: AlarmNews["state"]): AlarmNews {
  return { id, kind, state, text, advice: ADVICE[kind], since };
}

/** The runbook's line for each; `docs/operations.md` says more under the same names. */
export const ADVICE: Readonly<Record<AlarmKind, string>> = {
  "box-silent":
    "On the box: `pm2 status`, `pm2 logs isha-agent`, `systemctl status cloudflared`. Calls go to other boxes, or fail with `box_unreachable`.",
  "not-ready":
    "On the box: `pm2 logs <the server's name>`. If it can't load, look for memory with `nvidia-smi`; `pm2 restart <name>` starts it anew.",
  "restart-loop":
    "On the box: `pm2 logs <the server's name> --err`. A model file that is gone, memory that another process holds, or a prompt that kills it.",
  slow: "On the box: `nvidia-smi`. A model that holds no GPU memory runs on the CPU: restart it once the card has room.",
  heat: "Look at fans and air. `nvidia-smi -q -d TEMPERATURE,PERFORMANCE` tells whether the card slows itself down.",
  errors:
    "`isha why <request-id>` for one of the failed requests, then the log of the agent on that box: `pm2 logs isha-agent`.",
  "usage-behind":
    "Usage waits in the box's journal and is not lost. See that the disk isn't full and that the agent reaches the edge.",
};

interface HeldCondition extends Condition {
  /** Since when it holds, where that is known better than by our looks. */
  readonly heldSince?: number;
}

function conditionsOf(
  box: WatchedBox,
  restarts: AlarmState["restarts"],
  firstLookAt: number,
  now: number,
): HeldCondition[] {
  const { name } = box;
  const lastSeenAt = box.lastSeenAt ?? firstLookAt;
  if (now - lastSeenAt >= ALARM_AFTER_MS["box-silent"]) {
    // What a silent box said before tells nothing of now.
    const text =
      box.lastSeenAt === null
        ? `${name} has never reported in.`
        : `${name} has said nothing for ${durationText(now - lastSeenAt)}.`;
    return [{ id: `box-silent:${name}`, kind: "box-silent", text, heldSince: lastSeenAt }];
  }
  return [
    ...box.servers.flatMap((server) => serverConditions(box, server, restarts, now)),
    ...boxConditions(box),
  ];
}

function serverConditions(
  box: WatchedBox,
  { port, model, state, why }: WatchedBox["servers"][number],
  restarts: AlarmState["restarts"],
  now: number,
): Condition[] {
  const at = `${box.name}:${port}`;
  const named = model === "" ? at : `${model} on ${at}`;
  const because = why === "" ? "" : `: ${why}`;
  const found: Condition[] = [];
  const takesCalls = state === "ready" || state === "slow";
  if (!takesCalls && state !== "draining" && !box.draining) {
    const text = `${named} is ${state}${because}.`;
    found.push({ id: `not-ready:${at}`, kind: "not-ready", text });
  }
  if (state === "slow") {
    found.push({ id: `slow:${at}`, kind: "slow", text: `${named} is slow${because}.` });
  }
  const recent = restarts[at]?.at.filter((moment) => now - moment < LOOP_WINDOW_MS) ?? [];
  if (recent.length >= LOOP_RESTARTS) {
    const text = `${named} was restarted ${recent.length} times within ten minutes.`;
    found.push({ id: `restart-loop:${at}`, kind: "restart-loop", text });
  }
  return found;
}

function boxConditions({
  name,
  temperatureC,
  calls,
  failed,
  usageBehindMs,
  journal,
}: WatchedBox): Condition[] {
  const found: Condition[] = [];
  if (temperatureC !== null && temperatureC >= HOT_C) {
    found.push({ id: `heat:${name}`, kind: "heat", text: `A card of ${name} is at ${temperatureC} °C.` });
  }
  if (calls >= ERROR_CALLS && failed / calls >= ERROR_SHARE) {
    const share = Math.round((failed / calls) * 100);
    const text = `${share} % of ${name}'s calls of the last five minutes failed (${failed} of ${calls}).`;
    found.push({ id: `errors:${name}`, kind: "errors", text });
  }
  if (journal !== "ok" || (usageBehindMs ?? 0) >= BEHIND_MS) {
    const text =
      journal === "ok"
        ? `Usage of ${name} has been waiting for the ledger for ${durationText(usageBehindMs ?? 0)}.`
        : `The usage journal of ${name} is ${journal}: calls are served and may not be booked.`;
    found.push({ id: `usage-behind:${name}`, kind: "usage-behind", text });
  }
  return found;
}

function countRestarts(kept: AlarmState["restarts"], box: WatchedBox, now: number): AlarmState["restarts"] {
  const next = { ...kept };
  for (const { port, restarts } of box.servers) {
    if (restarts === null) continue;
    const id = `${box.name}:${port}`;
    const before = kept[id];
    // A count that fell is PM2's after `pm2 delete` or `reset`: it begins anew and tells nothing.
    const grown = before === undefined ? 0 : Math.max(0, restarts - before.count);
    const recent = (before?.at ?? []).filter((moment) => now - moment < LOOP_WINDOW_MS);
    const added = Array.from({ length: Math.min(grown, LOOP_RESTARTS) }, () => now);
    next[id] = { count: restarts, at: [...recent, ...added].slice(-LOOP_RESTARTS * 2) };
  }
  return next;
}

/** Of boxes and servers that the fleet has no more nothing is kept. */
function ofBoxes(restarts: AlarmState["restarts"], boxes: readonly WatchedBox[]): AlarmState["restarts"] {
  const known = new Set(boxes.flatMap(({ name, servers }) => servers.map(({ port }) => `${name}:${port}`)));
  const silent = new Set(boxes.filter(({ servers }) => servers.length === 0).map(({ name }) => name));
  return Object.fromEntries(
    Object.entries(restarts).filter(([id]) => known.has(id) || silent.has(id.slice(0, id.lastIndexOf(":")))),
  );
}
