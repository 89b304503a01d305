// Takes what was heard of a server into its record: which evidence counts, which it voids. It draws no
// conclusion about the state; `server-health.ts` does.
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
import { doubtSpeed, forgetLately, isRight, noteSpeed } from "./speed-baseline.ts";
import { noteTime, usualTime } from "./duration-baseline.ts";

/** After a call met trouble `/health` is asked at the fast pace for so long, milliseconds: a dead process shows at once. */
const HURRY_MS = 2_000;

/** A decode speed counts from so many tokens on; fewer are mostly the first token's overhead. */
const DECODE_SAMPLE_TOKENS = 8;

/** A prompt speed counts from so many tokens on; fewer fit one micro-batch, whatever its size. */
const PROMPT_SAMPLE_TOKENS = 32;

/** A server that holds less than this share of its weights on the card keeps them elsewhere. */
const HELD_SHARE = 1 / 2;

/** Readings in a row before memory is believed to be missing: nvidia-smi can be cut off in the middle of a list. */
const LOW_READINGS = 2;

/** Readings count from so long after the server came up, milliseconds; the driver's books lag a little. */
const SETTLE_MS = 1_000;

/** One-token calls in a row that fail before an idle server is called stalled. */
const ONE_TOKEN_FAILURES = 2;

/** A one-token call is right within this many times its usual time; on the CPU it takes ten times or more. */
const ONE_TOKEN_RIGHT = 2;

/** One-token calls in a row that are right before a slow server is believed to be well. */
const ONE_TOKEN_RIGHT_IN_A_ROW = 2;

/** Times of one-token calls needed before any is called usual. */
const ONE_TOKEN_TIMES = 3;

export function takeIn(record: HealthRecord, event: HealthEvent, now: number): HealthRecord {
  switch (event.kind) {
    case "health": {
      const probed = { ...record, probed: { ...record.probed, health: now } };
      const { answer } = event;
      if (answer === "timeout" || answer === "other") return { ...probed, failures: record.failures + 1 };
      return takeSign(probed, answer, now);
    }
    case "call":
      return takeFate(record, event, now);
    case "tokens":
      return proved(record, now);
    case "slots":
      return takeLook(record, event.slots, now);
    case "gpu":
      return takeMemory(record, event.gib, event.readAt);
    case "pm2":
      return takePm2(record, event.word, now);
    case "one-token-sent":
      return { ...record, oneToken: { ...record.oneToken, sentAt: now } };
    case "one-token":
      return takeOneToken(record, event.outcome, now);
    case "drain":
      return { ...record, draining: true };
    case "resume":
      return { ...record, draining: false };
  }
}

/** A certain word about whether a process listens, and whether it has its weights. */
function takeSign(record: HealthRecord, sign: Sign, now: number): HealthRecord {
  const told = { ...record, sign, signAt: now, failures: 0 };
  // Calls that broke until now broke with the process before.
  if (sign === "ok") return record.sign === "ok" ? told : { ...told, okSince: now, brokenCalls: 0 };
  // What refuses or loads is not the process that the evidence was about.
  return record.sign === "ok" ? ofNewProcess(told) : told;
}

/** What the server has learned of itself stays; what it was suspected of goes. */
function ofNewProcess(record: HealthRecord): HealthRecord {
  return {
    ...record,
    failures: 0,
    brokenCalls: 0,
    stall: null,
    progress: NOTHING_WATCHED,
    decode: forgetLately(record.decode),
    prompt: forgetLately(record.prompt),
    memory: { ...NO_MEMORY_EVIDENCE, readAt: record.memory.readAt },
    oneToken: { ...record.oneToken, failures: 0, rightInARow: 0 },
    provingSince: null,
  };
}

function takeFate(record: HealthRecord, fate: CallFate, now: number): HealthRecord {
  if (fate.fate === "answered") {
    const nothingDone = fate.decodedTokens === 0 && fate.promptTokens === 0;
    return takeSpeeds(nothingDone ? record : proved(record, now), fate, now);
  }
  const hurried = { ...record, hurryUntil: now + HURRY_MS };
  switch (fate.fate) {
    case "refused":
    case "loading":
      return takeSign(hurried, fate.fate, now);
    case "broken":
      return { ...hurried, brokenCalls: record.brokenCalls + 1 };
    case "stalled": {
      // One call without tokens beside others that get theirs is that call's trouble.
      const { aliveAt } = record.progress;
      const alive = aliveAt !== null && now - aliveAt < STALL_MS;
      return alive ? hurried : stalled(hurried, { tag: "call-stalled" }, now);
    }
  }
}

/** It decoded, beyond doubt: whatever said that it doesn't is refuted. */
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

function takeLook(
  record: HealthRecord,
  slots: Extract<HealthEvent, { kind: "slots" }>["slots"],
  now: number,
): HealthRecord {
  const { progress, moved, speeds } = noteReading(record.progress, slots, now);
  const looked = { ...record, progress, probed: { ...record.probed, slots: now } };
  if (moved) return speeds.reduce((noted, speed) => takeDecodeSpeed(noted, speed, now), proved(looked, now));
  const stall = stallOf(progress);
  return stall === null ? looked : stalled(looked, stall, now);
}

function takeSpeeds(
  record: HealthRecord,
  fate: Extract<CallFate, { fate: "answered" }>,
  now: number,
): HealthRecord {
  const decode = perSecond(fate.decodedTokens, fate.decodeMs, DECODE_SAMPLE_TOKENS);
  const prompt = perSecond(fate.promptTokens, fate.promptMs, PROMPT_SAMPLE_TOKENS);
  const noted = decode === null ? record : takeDecodeSpeed(record, decode, now);
  return prompt === null
    ? noted
    : { ...noted, prompt: noteSpeed(noted.prompt, prompt, noted.state === "ready", now) };
}

function perSecond(tokens: number | null, ms: number | null, least: number): number | null {
  return tokens === null || ms === null || !(tokens >= least) || !(ms > 0) ? null : (tokens * 1_000) / ms;
}

function takeDecodeSpeed(record: HealthRecord, tokensPerSecond: number, now: number): HealthRecord {
  const decode = noteSpeed(record.decode, tokensPerSecond, !record.memory.low, now);
  return isRight(decode) ? { ...record, decode, memory: refuted(record) } : { ...record, decode };
}

/** Its speed is right, so its weights are where they should be, whatever the driver says of this process. */
function refuted({ memory }: HealthRecord): HealthRecord["memory"] {
  return memory.low ? { ...memory, low: false, lowInARow: 0, disbelieved: true } : memory;
}

function takeMemory(record: HealthRecord, gib: number | null, readAt: number): HealthRecord {
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

function takePm2(record: HealthRecord, word: Pm2Evidence | null, now: number): HealthRecord {
  const heard = {
    ...record,
    pm2: word === null ? null : { ...word, at: now },
    probed: { ...record.probed, pm2: now },
  };
  if (word === null || word.uptimeMs === null || record.sign !== "ok") return heard;
  if (!isAnotherProcess(record.pm2, word)) return heard;
  const startedAt = now - word.uptimeMs;
  // The restart fell between two looks at `/health`: the last `ok` may be the old process's.
  if (record.signAt <= startedAt) {
    return { ...ofNewProcess(heard), sign: "restarted", signAt: now, hurryUntil: now + HURRY_MS };
  }
  if (record.okSince > startedAt) return heard;
  const stall = record.stall !== null && record.stall.at > startedAt ? record.stall : null;
  return { ...ofNewProcess(heard), okSince: startedAt, stall };
}

/** Whether PM2 has started the server anew between two of its words. */
export function isAnotherProcess(before: Pm2Evidence | null, after: Pm2Evidence | null): boolean {
  if (before === null || after === null) return false;
  if (before.restarts !== null && after.restarts !== null && after.restarts > before.restarts) return true;
  return before.pid !== null && after.pid !== null && after.pid !== before.pid;
}

function takeOneToken(record: HealthRecord, outcome: OneTokenOutcome, now: number): HealthRecord {
  const { sentAt } = record.oneToken;
  const ended = { ...record, oneToken: { ...record.oneToken, sentAt: null, endedAt: now } };
  switch (outcome.end) {
    case "answered":
      return takeOneTokenTime(proved(ended, now), outcome.ms);
    case "timeout": {
      const { aliveAt } = record.progress;
      // It waited behind calls that got their tokens.
      if (aliveAt !== null && sentAt !== null && aliveAt >= sentAt) return ended;
      const failures = Math.min(record.oneToken.failures + 1, ONE_TOKEN_FAILURES);
      const counted = { ...ended, oneToken: { ...ended.oneToken, failures, rightInARow: 0 } };
      if (failures < ONE_TOKEN_FAILURES) return counted;
      return stalled(counted, { tag: "one-token-unanswered", tries: failures }, now);
    }
    case "refused":
    case "loading":
    case "broken":
      return takeFate(ended, { fate: outcome.end }, now);
    case "error":
      return ended;
  }
}

function takeOneTokenTime(record: HealthRecord, ms: number): HealthRecord {
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
    decode: forgetLately(record.decode),
    memory: refuted(record),
    oneToken: { ...oneToken, rightInARow: 0 },
  };
}
