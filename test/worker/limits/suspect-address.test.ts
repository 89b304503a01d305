// An address that sends many invalid keys: its good keys are admitted, and the checks of all others take turns.
import { beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { FAILED_KEYS_A_MINUTE, KEY_CHECK_WAIT_MS, LIMITER_TIMEOUT_MS } from "../../../shared/limits.ts";
import { shownKey, type ShownKey } from "../../../worker/auth/credential.ts";
import { CheckTurns } from "../../../worker/limits/failed-keys.ts";
import type { KeyLeaseAnswer } from "../../../worker/limits/lease-request.ts";
import {
  BAD_KEY,
  CLAIM,
  KEY,
  limiterStage,
  type Answers,
  type LimiterStage,
} from "../support/limiter-stage.ts";
import { counted, known, lease } from "../support/limiters.ts";

const OTHER = keyOf("Other123");

function keyOf(keyId: string): ShownKey {
  return shownKey({ ...CLAIM, keyId });
}

async function sendInvalidKeys(stage: LimiterStage): Promise<void> {
  for (let sent = 0; sent < FAILED_KEYS_A_MINUTE; sent += 1) {
    await stage.limiter.reject(stage.caller, BAD_KEY);
    stage.clock.now += 110;
  }
}

/** A stage whose key objects answer when the test lets them, in the order of their calls. */
function heldStage(more: Answers = {}): {
  readonly stage: LimiterStage;
  readonly answerNext: (answer: KeyLeaseAnswer) => Promise<void>;
} {
  const calls: ((answer: KeyLeaseAnswer) => void)[] = [];
  const stage = limiterStage({ ...more, key: () => new Promise((resolve) => calls.push(resolve)) });
  return {
    stage,
    answerNext: async (answer) => {
      calls.shift()?.(answer);
      await flush();
    },
  };
}

/** Runs everything that waits for nothing but other promises. */
async function flush(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
});

describe("an address that sent many invalid keys", () => {
  it("still gets its good keys admitted, if the isolate doesn't know them yet: they were refused for a minute", async () => {
    const stage = limiterStage();
    await sendInvalidKeys(stage);
    expect(await stage.admit()).toMatchObject({ ok: true });
    expect(await stage.admit(OTHER)).toMatchObject({ ok: true });
  });

  it("doesn't delay a key that the isolate knows, however long ago it was used: after 5 minutes it was refused", async () => {
    const { stage, answerNext } = heldStage();
    const first = stage.admit();
    await answerNext(known(lease(1)));
    expect(await first).toMatchObject({ ok: true });
    stage.clock.now += 60 * 60_000;
    await sendInvalidKeys(stage);
    const unknown = stage.admit(OTHER);
    await flush();
    const good = stage.admit();
    await flush();
    expect(stage.keys.stubs).toEqual([CLAIM.keyId, "Other123", CLAIM.keyId]);
    await answerNext({ kind: "unknown" });
    await answerNext(known(lease(1)));
    expect(await unknown).toMatchObject({ refusal: { code: "invalid_key" } });
    expect(await good).toMatchObject({ ok: true });
  });

  it("gets its unknown keys checked one at a time, in order", async () => {
    const { stage, answerNext } = heldStage();
    await sendInvalidKeys(stage);
    const names = ["Unknown1", "Unknown2", "Unknown3"];
    const admissions = names.map(async (name) => stage.admit(keyOf(name)));
    for (let checked = 1; checked <= names.length; checked += 1) {
      await flush();
      expect(stage.keys.stubs).toEqual(names.slice(0, checked));
      await answerNext(checked === 2 ? known(lease(1)) : { kind: "unknown" });
    }
    expect((await Promise.all(admissions)).map(({ ok }) => ok)).toEqual([false, true, false]);
  });

  it("gets one check for many requests with the same key", async () => {
    const { stage, answerNext } = heldStage();
    await sendInvalidKeys(stage);
    const admissions = Array.from({ length: 5 }, async () => stage.admit());
    await flush();
    await answerNext({ kind: "unknown" });
    for (const admission of await Promise.all(admissions))
      expect(admission).toMatchObject({ refusal: { code: "invalid_key" } });
    expect(stage.keys.requests).toHaveLength(1);
  });

  it("gets 429 for a key whose turn doesn't come within 2 s, without an object call", async () => {
    const { stage } = heldStage();
    await sendInvalidKeys(stage);
    void stage.admit(keyOf("Unknown1"));
    let result: unknown = "no result yet";
    stage.clock.now += 1;
    void stage.admit(OTHER).then((admission) => (result = admission));
    await vi.advanceTimersByTimeAsync(KEY_CHECK_WAIT_MS - 1);
    expect(result).toBe("no result yet");
    stage.clock.now += LIMITER_TIMEOUT_MS - 2;
    await vi.advanceTimersByTimeAsync(1);
    expect(result).toMatchObject({
      refusal: { code: "too_many_failed_keys", retryAfterMs: KEY_CHECK_WAIT_MS },
    });
    expect(stage.keys.stubs).toEqual(["Unknown1"]);
  });

  it("gets 401 for a text that can't be a key, however many it sends: it costs no check", async () => {
    const stage = limiterStage();
    await sendInvalidKeys(stage);
    for (let sent = 0; sent < 50; sent += 1) {
      expect(await stage.limiter.reject(stage.caller, BAD_KEY)).toMatchObject({
        refusal: { code: "invalid_key" },
      });
      stage.clock.now += 110;
    }
    expect(stage.keys.requests).toEqual([]);
  });

  it("is known by what other isolates report through its object", async () => {
    const { stage, answerNext } = heldStage({ address: () => counted(lease(0), 30_000) });
    const first = stage.admit(keyOf("Unknown1"));
    await flush();
    await answerNext({ kind: "unknown" });
    await first;
    await stage.settled();
    stage.clock.now += 1_000;
    for (const name of ["Unknown2", "Unknown3"]) void stage.admit(keyOf(name));
    await flush();
    expect(stage.keys.stubs).toEqual(["Unknown1", "Unknown2"]);
  });

  it("admits requests without a key", async () => {
    const stage = limiterStage();
    await sendInvalidKeys(stage);
    expect(await stage.limiter.admitAddress(stage.caller, null)).toMatchObject({ ok: true });
  });
});

describe("the turns of checks", () => {
  it("continue after a request that was cancelled before it ended its turn", async () => {
    const clock = { now: 0 };
    const turns = new CheckTurns(() => clock.now);
    expect(await turns.begin()).toBe(true);
    const second = turns.begin();
    clock.now += LIMITER_TIMEOUT_MS;
    await vi.advanceTimersByTimeAsync(KEY_CHECK_WAIT_MS);
    expect(await second).toBe(true);
    turns.end();
    expect(await turns.begin()).toBe(true);
  });

  it("are waited for by a bounded number of requests", async () => {
    const turns = new CheckTurns(() => 0);
    await turns.begin();
    const results: boolean[] = [];
    for (let sent = 0; sent < 150; sent += 1) void turns.begin().then((result) => results.push(result));
    await flush();
    expect(results).toEqual(Array.from({ length: 50 }, () => false));
  });
});

describe("keys that the isolate doesn't know", () => {
  it("evict none that it knows: a flood of them emptied the table of leases", async () => {
    const stage = limiterStage({
      key: ({ secretHash }) => {
        if (secretHash === CLAIM.secretHash) return known(lease(9, 900, { remaining: 9 }));
        throw Object.assign(new Error("busy"), { overloaded: true });
      },
    });
    await stage.admit();
    for (let at = 0; at < 10_000; at += 1) {
      const key = shownKey({ ...CLAIM, keyId: `Unknown${at}`, secretHash: "f".repeat(64) });
      await stage.limiter.admit({ ...stage.caller, address: `10.0.${at >> 8}.${at & 255}` }, key);
    }
    const sent = stage.keys.requests.length;
    expect(stage.limiter.admit(stage.caller, KEY)).toMatchObject({ ok: true });
    expect(stage.keys.requests).toHaveLength(sent);
  });
});
