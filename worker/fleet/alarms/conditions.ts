// Decides what pages an operator: conditions over the boxes' reports, each with the time it must hold. Each alarm has
// one message when it is raised and one when it has recovered. Pure; the Fleet object evaluates, posts and stores.
import { durationText } from "../../../shared/duration.ts";
import type { ProcessesByBox } from "../../../shared/fleet.ts";
import type { LinkState } from "../../../shared/wire.ts";
import { serverName } from "../object/events.ts";
import { adviceOf, type AlarmKind } from "./advice.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;

/** How long each condition must hold before its alarm is raised (design section 4). */
export const ALARM_AFTER_MS = {
  "box-silent": MINUTE_MS,
  /** An 8B model loads in 5 to 20 s, and PM2's back-off adds as much. */
  "not-ready": 2 * MINUTE_MS,
  "restart-loop": 0,
  /** One slow minute is a burst; a model on the CPU stays slow. */
  slow: MINUTE_MS,
  heat: MINUTE_MS,
  errors: 0,
  "usage-behind": 0,
  /** Longer than a restart of cloudflared or of the machine: after that, the resume was probably forgotten. */
  "drained-long": 15 * MINUTE_MS,
} as const satisfies Record<AlarmKind, number>;

/** This many restarts within the window are a loop: with its back-off PM2 restarts at most every 15 s. */
const LOOP_RESTARTS = 3;
export const LOOP_WINDOW_MS = 10 * MINUTE_MS;

/** A card this hot is about to throttle: consumer cards do from 83 to 93 °C. */
export const HOT_C = 87;

/** At least this many calls in five minutes, and at least this share of them failed. */
export const ERROR_CALLS = 20;
const ERROR_SHARE = 0.2;

/** Age of usage that isn't in the ledger; a broken link raises its own alarm sooner. */
export const BEHIND_MS = 5 * MINUTE_MS;

/** A condition must be gone for this long before its alarm has recovered: one that flaps pages once. */
export const CALM_MS = 15 * SECOND_MS;

/** The input of the conditions: one box as it was last reported. */
export interface WatchedBox {
  readonly name: string;
  /** Null if it was never linked. */
  readonly lastSeenAt: number | null;
  /** False if no agent is active: nothing is known about the box's servers, good or bad. */
  readonly reporting: boolean;
  readonly draining: boolean;
  /** When an operator drained it, whether or not its agent reports; null if none did. */
  readonly drainedAt: number | null;
  readonly servers: readonly {
    readonly port: number;
    /** Empty if it isn't known. */
    readonly model: string;
    readonly state: LinkState;
    readonly why: string;
    readonly restarts: number | null;
  }[];
  /** Of the hottest card; null if unknown. */
  readonly temperatureC: number | null;
  readonly usageBehindMs: number | null;
  readonly journal: "ok" | "full" | "failing";
  /** Over the last five minutes. */
  readonly calls: number;
  readonly failed: number;
}

interface Condition {
  readonly id: string;
  readonly kind: AlarmKind;
  readonly text: string;
  /** When the condition began, if that is known better than by our own evaluations. */
  readonly beganAt?: number;
}

interface ActiveAlarm {
  readonly kind: AlarmKind;
  readonly text: string;
  /** When the condition began, in milliseconds since 1970. */
  readonly since: number;
  /** Whether the message that raises it was created. */
  readonly notified: boolean;
  /** When the condition ended; null while it holds. */
  readonly goneAt: number | null;
}

/** A server's restart count when it was last reported, and when it grew. */
interface Restarts {
  readonly count: number;
  readonly at: readonly number[];
}

/** The state between two evaluations. Plain data that is stored as JSON. */
export interface AlarmState {
  readonly active: Readonly<Record<string, ActiveAlarm>>;
  readonly restarts: Readonly<Record<string, Restarts>>;
  /** Time of the first evaluation: before it nothing can have been silent. */
  readonly since: number | null;
}

export const NO_ALARMS: AlarmState = { active: {}, restarts: {}, since: null };

export interface AlarmMessage {
  readonly id: string;
  readonly kind: AlarmKind;
  readonly state: "raised" | "recovered";
  readonly text: string;
  readonly advice: string;
  readonly since: number;
}

/** The real names that the messages' commands contain. */
export interface AdviceNames {
  readonly processes: ProcessesByBox;
  /** The newest request that failed by our fault; null if none is stored. */
  readonly failedRequest: string | null;
}

const NO_NAMES: AdviceNames = { processes: {}, failedRequest: null };

/** Evaluates the conditions once; returns the next state and the messages for alarms that began or ended. */
export function evaluate(
  state: AlarmState,
  boxes: readonly WatchedBox[],
  now: number,
  names: AdviceNames = NO_NAMES,
): { readonly state: AlarmState; readonly messages: readonly AlarmMessage[] } {
  const since = state.since ?? now;
  const restarts = boxes.reduce((known, box) => countRestarts(known, box, now), state.restarts);
  const conditions = [
    ...boxes.flatMap((box) => conditionsOf(box, restarts, since, now)),
    ...drainConditions(boxes, now),
  ];
  const active: Record<string, ActiveAlarm> = {};
  const messages: AlarmMessage[] = [];
  for (const { id, kind, text, beganAt } of conditions) {
    const before = state.active[id];
    const began = before?.since ?? beganAt ?? now;
    const notified = before?.notified === true || now - began >= ALARM_AFTER_MS[kind];
    const alarm = { kind, text, since: began, notified, goneAt: null };
    active[id] = alarm;
    if (notified && before?.notified !== true) messages.push(messageOf(id, alarm, "raised", names));
  }
  const unknown = new Set(boxes.filter(({ reporting }) => !reporting).map(({ name }) => name));
  for (const [id, before] of Object.entries(state.active)) {
    if (active[id] !== undefined) continue;
    if (!KNOWN_WITHOUT_REPORT.has(before.kind) && unknown.has(subjectOf(id).box)) {
      // No report says that it ended, and a broken link must not restart its time.
      active[id] = before;
      continue;
    }
    // Without a message that raised it, it needs none to end it.
    if (!before.notified) continue;
    const goneAt = before.goneAt ?? now;
    if (now - goneAt < CALM_MS) active[id] = { ...before, goneAt };
    else messages.push(messageOf(id, before, "recovered", names));
  }
  return { state: { active, restarts: ofKnownServers(restarts, boxes), since }, messages };
}

/** The conditions that don't depend on a report of the box. */
const KNOWN_WITHOUT_REPORT: ReadonlySet<AlarmKind> = new Set(["box-silent", "drained-long"]);

/** An alarm's id is its kind, its box and, for a server, its port, separated by colons, which names can't contain. */
export function subjectOf(id: string): { readonly box: string; readonly port: number | null } {
  const [, box = "", port] = id.split(":");
  return { box, port: port === undefined ? null : Number(port) };
}

/** The alarms that hold and whose message was created. */
export function raisedAlarms(state: AlarmState, names: AdviceNames = NO_NAMES): AlarmMessage[] {
  return Object.entries(state.active)
    .filter(([, alarm]) => alarm.notified && alarm.goneAt === null)
    .map(([id, alarm]) => messageOf(id, alarm, "raised", names));
}

function messageOf(
  id: string,
  { kind, text, since }: ActiveAlarm,
  state: AlarmMessage["state"],
  { processes, failedRequest }: AdviceNames,
): AlarmMessage {
  const { box, port } = subjectOf(id);
  const process = port === null ? null : (processes[box]?.[port] ?? null);
  return { id, kind, state, text, advice: adviceOf(kind, { box, port, process, failedRequest }), since };
}

function conditionsOf(
  box: WatchedBox,
  restarts: AlarmState["restarts"],
  firstEvaluatedAt: number,
  now: number,
): Condition[] {
  const { name } = box;
  const lastSeenAt = box.lastSeenAt ?? firstEvaluatedAt;
  if (now - lastSeenAt >= ALARM_AFTER_MS["box-silent"]) {
    // A silent box's last report no longer describes it.
    const text =
      box.lastSeenAt === null
        ? `${name} has never reported.`
        : `${name} has not reported for ${durationText(now - lastSeenAt)}.`;
    return [{ id: `box-silent:${name}`, kind: "box-silent", text, beganAt: lastSeenAt }];
  }
  return [
    ...box.servers.flatMap((server) => serverConditions(box, server, restarts, now)),
    ...boxConditions(box),
  ];
}

/** A drain that lasts: the operator may have forgotten the resume. The agent's own shutdown doesn't count. */
function drainConditions(boxes: readonly WatchedBox[], now: number): Condition[] {
  const isNothingServed = boxes.every(({ drainedAt }) => drainedAt !== null);
  return boxes.flatMap(({ name, drainedAt }) => {
    if (drainedAt === null) return [];
    const lasting = `${name} has been drained for ${durationText(now - drainedAt)}`;
    const text = isNothingServed ? `Nothing is served: ${lasting}.` : `${lasting} and takes no calls.`;
    return [{ id: `drained-long:${name}`, kind: "drained-long" as const, text, beganAt: drainedAt }];
  });
}

function serverConditions(
  box: WatchedBox,
  { port, model, state, why }: WatchedBox["servers"][number],
  restarts: AlarmState["restarts"],
  now: number,
): Condition[] {
  const at = `${box.name}:${port}`;
  const name = serverName(box.name, port, model);
  const because = why === "" ? "" : `: ${why}`;
  const found: Condition[] = [];
  const takesCalls = state === "ready" || state === "slow";
  if (!takesCalls && !box.draining) {
    found.push({ id: `not-ready:${at}`, kind: "not-ready", text: `${name} is ${state}${because}.` });
  }
  if (state === "slow") {
    found.push({ id: `slow:${at}`, kind: "slow", text: `${name} is slow${because}.` });
  }
  const recent = restarts[at]?.at.filter((time) => now - time < LOOP_WINDOW_MS) ?? [];
  if (recent.length >= LOOP_RESTARTS) {
    const text = `${name} was restarted ${recent.length} times within ten minutes.`;
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
    const text = `${share} % of the calls on ${name} failed in the last five minutes (${failed} of ${calls}).`;
    found.push({ id: `errors:${name}`, kind: "errors", text });
  }
  if (journal !== "ok" || (usageBehindMs ?? 0) >= BEHIND_MS) {
    const text =
      journal === "ok"
        ? `Usage of ${name} has been waiting for the ledger for ${durationText(usageBehindMs ?? 0)}.`
        : `The usage journal of ${name} is ${journal}: calls are served but may not be booked.`;
    found.push({ id: `usage-behind:${name}`, kind: "usage-behind", text });
  }
  return found;
}

function countRestarts(known: AlarmState["restarts"], box: WatchedBox, now: number): AlarmState["restarts"] {
  const next = { ...known };
  for (const { port, restarts } of box.servers) {
    if (restarts === null) continue;
    const id = `${box.name}:${port}`;
    const before = known[id];
    // A count that fell was reset by `pm2 delete` or `pm2 reset`: it is no evidence of restarts.
    const grown = before === undefined ? 0 : Math.max(0, restarts - before.count);
    const recent = (before?.at ?? []).filter((time) => now - time < LOOP_WINDOW_MS);
    const added = Array.from({ length: Math.min(grown, LOOP_RESTARTS) }, () => now);
    next[id] = { count: restarts, at: [...recent, ...added].slice(-LOOP_RESTARTS * 2) };
  }
  return next;
}

/** Removes servers that have left the fleet; those of a box that doesn't report now stay. */
function ofKnownServers(
  restarts: AlarmState["restarts"],
  boxes: readonly WatchedBox[],
): AlarmState["restarts"] {
  const known = new Set(boxes.flatMap(({ name, servers }) => servers.map(({ port }) => `${name}:${port}`)));
  const silent = new Set(boxes.filter(({ servers }) => servers.length === 0).map(({ name }) => name));
  return Object.fromEntries(
    Object.entries(restarts).filter(([id]) => known.has(id) || silent.has(id.slice(0, id.lastIndexOf(":")))),
  );
}
