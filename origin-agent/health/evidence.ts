// Adds evidence to a server's record: which evidence counts, and which older evidence it voids. `state-machine.ts` derives
// the state from the record.
//
// | event                                   | sets                                         | voids                          |
// | --------------------------------------- | -------------------------------------------- | ------------------------------ |
// | `/health` 200                           | sign: ok                                     | failures                       |
// | … after another sign                    | up since now                                 | broken calls                   |
// | `/health` or a call: refused, loading   | sign: refused, loading                       | after ok: every suspicion      |
// | `/health` without a certain answer      | failures + 1                                 |                                |
// | a call, or the one-token call, broke    | broken calls + 1                             |                                |
// | a call stalled                          | a stall, if no other call got a token either |                                |
// | tokens; an answer; progress in `/slots` | decodes now; speeds                          | failures, broken calls, stalls |
// | `/slots` without progress or answer     | a stall after its time (decode-progress.ts)  |                                |
// | `/slots` with 401, until another answer | refuses our key                              |                                |
// | two one-token calls without an answer   | a stall                                      |                                |
// | two readings of too little GPU memory   | on the CPU, until enough or a normal speed   |                                |
// | PM2: another process                    | sign: restarted, if `/health` is older       | every suspicion before it      |
import { STALL_MS } from "../../shared/limits.ts";
import { NOTHING_WATCHED, noteAlive, noteReading, stallOf } from "./decode-progress.ts";
import type { StallCause } from "./cause.ts";
import {
  NO_MEMORY_EVIDENCE,
  type CallFate,
  type HealthEvent,
  type HealthRecord,
  type OneTokenOutcome,
  type Pm2Evidence,
  type Sign,
} from "./record.ts";
import { doubtSpeed, forgetRecent, isRight, noteSpeed } from "./speed-baseline.ts";
import { noteTime, usualTime } from "./duration-baseline.ts";

/** How long `/health` is probed at the fast pace after a call failed, so that a dead process shows immediately. */
const HURRY_MS = 2_000;

/** Least tokens for a decode speed; fewer are mostly the first token's overhead. */
const DECODE_SAMPLE_TOKENS = 8;

/** A server with less than this share of its weights on the card keeps them elsewhere. */
const HELD_SHARE = 1 / 2;

/** Consecutive low readings before memory counts as missing (design 6): nvidia-smi's output can be cut in the middle of a list. */
const LOW_READINGS = 2;

/** Readings count only this long after the server came up, because the driver's figures lag a little. */
const SETTLE_MS = 1_000;

/** Consecutive failed one-token calls before an idle server counts as stalled. */
const ONE_TOKEN_FAILURES = 2;

/** A one-token call counts as normal within this multiple of its usual time; on the CPU it takes ten times or more. */
const ONE_TOKEN_RIGHT = 2;

/** Consecutive normal one-token calls before a slow server counts as healthy. */
const ONE_TOKEN_RIGHT_IN_A_ROW = 2;

/** Durations of one-token calls needed before there is a usual one. */
const ONE_TOKEN_TIMES = 3;

export function applyEvent(record: HealthRecord, event: HealthEvent, now: number): HealthRecord {
  return applyKind(isResponse(event) ? { ...record, respondedAt: now } : record, event, now);
}

/** Whether the event shows that the server's process runs. */
function isResponse(event: HealthEvent): boolean {
  switch (event.kind) {
    case "health":
      return event.answer !== "timeout";
    case "slots":
      return event.slots !== null;
    case "call":
      return event.fate !== "stalled";
    case "one-token":
      return event.outcome.end !== "timeout";
    default:
      return event.kind === "tokens";
  }
}

function applyKind(record: HealthRecord, event: HealthEvent, now: number): HealthRecord {
  switch (event.kind) {
    case "health": {
      const probed = { ...record, probed: { ...record.probed, health: now } };
      const { answer } = event;
      if (answer === "timeout" || answer === "other") return { ...probed, failures: record.failures + 1 };
      return applySign(probed, answer, now);
    }
    case "call":
      return applyFate(record, event, now);
    case "tokens":
      return proved(record, now);
    case "slots":
      return applySlots(record, event.slots, now);
    case "gpu":
      return applyMemory(record, event.gib, event.readAt);
    case "pm2":
      return applyPm2(record, event.process, now);
    case "one-token-sent":
      return { ...record, oneToken: { ...record.oneToken, sentAt: now } };
    case "one-token":
      return applyOneToken(record, event.outcome, now);
  }
}

/** Applies a certain answer: whether a process listens, and whether it has loaded its weights. */
function applySign(record: HealthRecord, sign: Sign, now: number): HealthRecord {
  const updated = { ...record, sign, signAt: now, failures: 0 };
  // Calls that broke until now broke with the earlier process.
  if (sign === "ok") return record.sign === "ok" ? updated : { ...updated, okSince: now, brokenCalls: 0 };
  // A process that refuses or loads is not the one that the evidence was about.
  return record.sign === "ok" ? ofNewProcess(updated) : updated;
}

/** Keeps the learned baselines and clears the suspicions (design 4). */
function ofNewProcess(record: HealthRecord): HealthRecord {
  return {
    ...record,
    failures: 0,
    brokenCalls: 0,
    stall: null,
    refusesKey: false,
    progress: NOTHING_WATCHED,
    decode: forgetRecent(record.decode),
    memory: { ...NO_MEMORY_EVIDENCE, readAt: record.memory.readAt },
    oneToken: { ...record.oneToken, failures: 0, rightInARow: 0 },
    provingSince: null,
  };
}

function applyFate(record: HealthRecord, fate: CallFate, now: number): HealthRecord {
  if (fate.fate === "answered") {
    const nothingDone = fate.decodedTokens === 0 && fate.promptTokens === 0;
    return applySpeeds(nothingDone ? record : proved(record, now), fate, now);
  }
  const hurried = { ...record, hurryUntil: now + HURRY_MS };
  switch (fate.fate) {
    case "refused":
    case "loading":
      return applySign(hurried, fate.fate, now);
    case "broken":
      return { ...hurried, brokenCalls: record.brokenCalls + 1 };
    case "stalled": {
      // If other calls get tokens, a call without tokens is that call's own problem.
      const { aliveAt } = record.progress;
      const alive = aliveAt !== null && now - aliveAt < STALL_MS;
      return alive ? hurried : stalled(hurried, { tag: "call-stalled" }, now);
    }
  }
}

/** The server has certainly decoded: all evidence against that is void. */
function proved(record: HealthRecord, now: number): HealthRecord {
  return {
    ...record,
    failures: 0,
    brokenCalls: 0,
    stall: null,
    provingSince: null,
    progress: noteAlive(record.progress, now),
    oneToken: { ...record.oneToken, failures: 0 },
  };
}

const stalled = (record: HealthRecord, cause: StallCause, now: number): HealthRecord =>
  record.stall === null ? { ...record, stall: { cause, at: now } } : record;

function applySlots(
  record: HealthRecord,
  slots: Extract<HealthEvent, { kind: "slots" }>["slots"],
  now: number,
): HealthRecord {
  const probed = { ...record.probed, slots: now };
  if (slots === "wrong-key") return { ...record, probed, refusesKey: true };
  const { progress, moved, speeds } = noteReading(record.progress, slots, now);
  const refusesKey = slots === null && record.refusesKey;
  const updated = { ...record, progress, probed, refusesKey };
  if (moved)
    return speeds.reduce((noted, speed) => applyDecodeSpeed(noted, speed, now), proved(updated, now));
  const stall = stallOf(progress);
  return stall === null ? updated : stalled(updated, stall, now);
}

function applySpeeds(
  record: HealthRecord,
  fate: Extract<CallFate, { fate: "answered" }>,
  now: number,
): HealthRecord {
  const decode = perSecond(fate.decodedTokens, fate.decodeMs, DECODE_SAMPLE_TOKENS);
  return decode === null ? record : applyDecodeSpeed(record, decode, now);
}

function perSecond(tokens: number | null, ms: number | null, least: number): number | null {
  return tokens === null || ms === null || !(tokens >= least) || !(ms > 0) ? null : (tokens * 1_000) / ms;
}

function applyDecodeSpeed(record: HealthRecord, tokensPerSecond: number, now: number): HealthRecord {
  const decode = noteSpeed(record.decode, tokensPerSecond, !record.memory.low, now);
  return isRight(decode) ? { ...record, decode, memory: refuted(record) } : { ...record, decode };
}

/** A normal speed proves that the weights are on the card, even if the driver reports otherwise for this process. */
function refuted({ memory }: HealthRecord): HealthRecord["memory"] {
  return memory.low ? { ...memory, low: false, lowInARow: 0, disbelieved: true } : memory;
}

function applyMemory(record: HealthRecord, gib: number | null, readAt: number): HealthRecord {
  const { memory, weightsGib } = record;
  if (readAt <= memory.readAt) return record;
  const read = { ...memory, gib, readAt };
  if (gib === null || weightsGib === null) return { ...record, memory: { ...read, lowInARow: 0 } };
  if (gib >= weightsGib * HELD_SHARE) {
    return { ...record, memory: { ...read, lowInARow: 0, low: false, disbelieved: false } };
  }
  const counts = record.sign === "ok" && readAt - record.okSince >= SETTLE_MS && !memory.disbelieved;
  if (!counts) return { ...record, memory: read };
  const lowInARow = memory.lowInARow + 1;
  const low = lowInARow >= LOW_READINGS;
  const decode = low && !memory.low ? doubtSpeed(record.decode) : record.decode;
  return { ...record, decode, memory: { ...read, lowInARow: Math.min(lowInARow, LOW_READINGS), low } };
}

function applyPm2(record: HealthRecord, process: Pm2Evidence | null, now: number): HealthRecord {
  const updated = { ...record, pm2: process === null ? null : { ...process, at: now } };
  if (process === null || process.uptimeMs === null || record.sign !== "ok") return updated;
  if (!isAnotherProcess(record.pm2, process)) return updated;
  const startedAt = now - process.uptimeMs;
  // The restart fell between two probes of `/health`: the last `ok` may be the old process's.
  if (record.signAt <= startedAt) {
    return { ...ofNewProcess(updated), sign: "restarted", signAt: now, hurryUntil: now + HURRY_MS };
  }
  if (record.okSince > startedAt) return updated;
  const stall = record.stall !== null && record.stall.at > startedAt ? record.stall : null;
  return { ...ofNewProcess(updated), okSince: startedAt, stall };
}

/** Whether PM2 restarted the server between two of its reports. */
export function isAnotherProcess(before: Pm2Evidence | null, after: Pm2Evidence | null): boolean {
  if (before === null || after === null) return false;
  if (before.restarts !== null && after.restarts !== null && after.restarts > before.restarts) return true;
  return before.pid !== null && after.pid !== null && after.pid !== before.pid;
}

function applyOneToken(record: HealthRecord, outcome: OneTokenOutcome, now: number): HealthRecord {
  const { sentAt } = record.oneToken;
  const ended = { ...record, oneToken: { ...record.oneToken, sentAt: null, endedAt: now } };
  switch (outcome.end) {
    case "answered":
      return applyOneTokenTime(proved(ended, now), outcome.ms);
    case "timeout": {
      const { aliveAt } = record.progress;
      // It waited behind calls that received their tokens.
      if (aliveAt !== null && sentAt !== null && aliveAt >= sentAt) return ended;
      const failures = Math.min(record.oneToken.failures + 1, ONE_TOKEN_FAILURES);
      const counted = { ...ended, oneToken: { ...ended.oneToken, failures, rightInARow: 0 } };
      if (failures < ONE_TOKEN_FAILURES) return counted;
      return stalled(counted, { tag: "one-token-unanswered", tries: failures }, now);
    }
    case "refused":
    case "loading":
    case "broken":
      return applyFate(ended, { fate: outcome.end }, now);
    case "error":
      return ended;
  }
}

function applyOneTokenTime(record: HealthRecord, ms: number): HealthRecord {
  const { oneToken } = record;
  const isSlow = record.memory.low || record.decode.slow;
  if (!isSlow) {
    return { ...record, oneToken: { ...oneToken, times: noteTime(oneToken.times, ms), rightInARow: 0 } };
  }
  const usual = oneToken.times.length < ONE_TOKEN_TIMES ? null : usualTime(oneToken.times);
  const rightInARow = usual !== null && ms <= usual * ONE_TOKEN_RIGHT ? oneToken.rightInARow + 1 : 0;
  if (rightInARow < ONE_TOKEN_RIGHT_IN_A_ROW) return { ...record, oneToken: { ...oneToken, rightInARow } };
  return {
    ...record,
    decode: forgetRecent(record.decode),
    memory: refuted(record),
    oneToken: { ...oneToken, rightInARow: 0 },
  };
}
