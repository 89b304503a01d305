// An isolate's limiter over stand-ins of the objects, with a clock that the test moves.
import { shownKey, type Claim, type ShownKey } from "../../../worker/auth/credential.ts";
import type { Bindings } from "../../../worker/env.ts";
import type { Caller } from "../../../worker/limits/caller.ts";
import type {
  AddressLeaseAnswer,
  KeyLeaseAnswer,
  KeyLeaseRequest,
} from "../../../worker/limits/lease-request.ts";
import { Limiter, type Admission } from "../../../worker/limits/limiter.ts";
import { fleetOf } from "./fleets.ts";
import { counted, fakeAddresses, fakeKeys, known, lease } from "./limiters.ts";

const NOON = 1_790_000_000_000;
export const CLAIM: Claim = {
  keyId: "Ab3dEf6h",
  secretHash: "a".repeat(64),
  builtInRecord: null,
  first: false,
  warning: null,
};
export const KEY = shownKey(CLAIM);
export const BAD_KEY = { code: "invalid_key", message: "not valid" } as const;

export interface LimiterStage {
  readonly limiter: Limiter;
  readonly keys: ReturnType<typeof fakeKeys>;
  readonly addresses: ReturnType<typeof fakeAddresses>;
  readonly caller: Caller;
  readonly clock: { now: number };
  admit(key?: ShownKey): Promise<Admission<unknown>>;
  /** Waits for the work that ran on after the answers. */
  settled(): Promise<void>;
}

export interface Answers {
  readonly key?: (request: KeyLeaseRequest) => Promise<KeyLeaseAnswer> | KeyLeaseAnswer;
  readonly address?: () => Promise<AddressLeaseAnswer> | AddressLeaseAnswer;
  readonly shield?: Partial<Bindings>;
  readonly perAddress?: number;
}

export function limiterStage({ key, address, shield, perAddress = 100 }: Answers = {}): LimiterStage {
  const clock = { now: NOON };
  const keys = fakeKeys(key ?? (() => known(lease(1, 500, { remaining: 5 }))));
  const addresses = fakeAddresses(address ?? (() => counted(lease(1, 500, { remaining: 5 }))));
  const fleet = fleetOf({ limits: { perAddressPerSecond: perAddress, perKeyPerSecond: 1_000 } });
  const limiter = new Limiter(fleet, () => clock.now);
  const running: Promise<unknown>[] = [];
  const caller: Caller = {
    bindings: { API_KEY: keys.binding, CLIENT_ADDRESS: addresses.binding, ...shield } as Bindings,
    isModelCall: true,
    requestId: "req_1",
    address: "192.0.2.1",
    context: { waitUntil: (work) => void running.push(work) },
  };
  return {
    limiter,
    keys,
    addresses,
    caller,
    clock,
    admit: async (shown = KEY) => limiter.admit(caller, shown),
    settled: async () => void (await Promise.all(running)),
  };
}

/** Of a key that is exempt from the address limit. */
export const EXEMPT = { addressExempt: true };
