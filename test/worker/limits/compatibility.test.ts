// Lease requests between an isolate and an object that are one release apart, as happens during a deployment.
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { shownKey } from "../../../worker/auth/credential.ts";
import type { Bindings } from "../../../worker/env.ts";
import type { Caller } from "../../../worker/limits/caller.ts";
import type {
  AddressLeaseAnswer,
  AddressLeaseRequest,
  KeyLeaseAnswer,
  KeyLeaseRequest,
} from "../../../worker/limits/lease-request.ts";
import { Limiter } from "../../../worker/limits/limiter.ts";
import { newAddress, stopClock } from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";
import { fakeAddresses, fakeKeys, record } from "../support/limiters.ts";

const NOON = 1_790_000_000_500;
const HASH = "a".repeat(64);
const RECORD = record({ addressExempt: true });

/** The previous release's objects read `standing`, and they also granted tokens of the next window. */
const previousLease = { granted: 3, remaining: 0, endsInMs: 500, unknownField: 1 };
const next = { granted: 2, remaining: 8, startsInMs: 500, endsInMs: 1_500 };

it("an isolate of this release is admitted by objects of the previous one", async () => {
  stopClock(NOON);
  const keys = fakeKeys(({ standing }) => {
    if (standing === undefined || standing === null) throw new Error("no record");
    const answer = { kind: "known", record: standing, lease: { ...previousLease, next }, quotaSpent: false };
    return answer as unknown as KeyLeaseAnswer;
  });
  const addresses = fakeAddresses(({ want, waiting, passed, failedKeys }) => {
    if (![want, waiting, passed, failedKeys].every(Number.isFinite)) throw new Error("a field is missing");
    return { lease: { ...previousLease, next }, keysRefusedForMs: 0 } as unknown as AddressLeaseAnswer;
  });
  const limiter = new Limiter(
    fleetOf({ limits: { perAddressPerSecond: 1, perKeyPerSecond: 10 } }),
    () => NOON,
  );
  const caller: Caller = {
    bindings: { API_KEY: keys.binding, CLIENT_ADDRESS: addresses.binding } as Bindings,
    isModelCall: true,
    requestId: "req_1",
    address: "192.0.2.1",
    context: { waitUntil: () => undefined },
  };
  const key = shownKey({
    keyId: "legacy_1",
    secretHash: HASH,
    builtInRecord: RECORD,
    first: false,
    warning: null,
  });
  for (let request = 0; request < 3; request += 1) {
    expect(await limiter.admit(caller, key)).toMatchObject({ ok: true, value: RECORD });
    expect(await limiter.admitAddress(caller)).toMatchObject({ ok: true });
  }
  expect(keys.requests.length).toBe(1);
});

it("an object of this release answers isolates of the previous one in their form", async () => {
  stopClock(NOON);
  const key = env.API_KEY.getByName("legacy_0123456789abcdef");
  const request = { want: 3, waiting: 1, wantNext: 5, secretHash: HASH, standing: RECORD, first: null };
  const answer = await key.lease(request as unknown as KeyLeaseRequest);
  // It reads `next` unless that is null.
  expect(answer).toMatchObject({ kind: "known", record: RECORD, lease: { granted: 2, next: null } });
  const stranger = env.API_KEY.getByName("Stranger0000");
  const unknown = await stranger.lease({ ...request, standing: null } as unknown as KeyLeaseRequest);
  expect(unknown).toEqual({ kind: "unknown" });
  const address = env.CLIENT_ADDRESS.getByName(newAddress());
  const addressRequest = { want: 1, waiting: 1, wantNext: 5, perSecond: 6, passed: 2, failedKeys: 0 };
  expect(await address.lease(addressRequest as AddressLeaseRequest)).toMatchObject({
    lease: { granted: 1, remaining: 3, next: null },
  });
});
