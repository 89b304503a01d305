// Stand-ins for the limiter objects: they answer as a test needs it, which the real ones can't be made to do.
import type { KeyRecord } from "../../../shared/principal.ts";
import type { Bindings } from "../../../worker/env.ts";
import type {
  AddressLeaseAnswer,
  AddressLeaseRequest,
  KeyLeaseAnswer,
  KeyLeaseRequest,
  LeaseGrant,
} from "../../../worker/limits/lease-request.ts";

export interface FakeNamespace<Q, A> {
  /** Names of the objects that stubs were made for: one entry for each stub. */
  readonly stubs: string[];
  readonly requests: Q[];
  /** The location hint of each stub. */
  readonly hints: (string | undefined)[];
  answer: (request: Q) => Promise<A> | A;
}

/** In place of `API_KEY`. */
export function fakeKeys(
  answer: (request: KeyLeaseRequest) => Promise<KeyLeaseAnswer> | KeyLeaseAnswer,
): FakeNamespace<KeyLeaseRequest, KeyLeaseAnswer> & { readonly binding: Bindings["API_KEY"] } {
  const fake = fakeOf(answer);
  return { ...fake, binding: bindingOf(fake) as Bindings["API_KEY"] };
}

/** In place of `CLIENT_ADDRESS`. */
export function fakeAddresses(
  answer: (request: AddressLeaseRequest) => Promise<AddressLeaseAnswer> | AddressLeaseAnswer,
): FakeNamespace<AddressLeaseRequest, AddressLeaseAnswer> & {
  readonly binding: Bindings["CLIENT_ADDRESS"];
} {
  const fake = fakeOf(answer);
  return { ...fake, binding: bindingOf(fake) as Bindings["CLIENT_ADDRESS"] };
}

/** The real namespace; records which objects are reached. */
export function watched<N extends Bindings["API_KEY"] | Bindings["CLIENT_ADDRESS"]>(
  namespace: N,
): { readonly names: string[]; readonly binding: N } {
  const names: string[] = [];
  const binding = {
    getByName(name: string, options?: DurableObjectNamespaceGetDurableObjectOptions) {
      names.push(name);
      return namespace.getByName(name, options);
    },
  };
  return { names, binding: binding as N };
}

export function lease(granted: number, endsInMs = 500, more: Partial<LeaseGrant> = {}): LeaseGrant {
  return { granted, remaining: 0, endsInMs, ...more };
}

/** The answer of the object of a key that exists. */
export function known(
  granted: LeaseGrant,
  more: Partial<KeyRecord> = {},
  quotaSpent = false,
): KeyLeaseAnswer {
  return { kind: "known", record: record(more), lease: granted, quotaSpent };
}

/** The answer of an address's object. */
export function counted(granted: LeaseGrant, suspectForMs = 0): AddressLeaseAnswer {
  return { lease: granted, suspectForMs };
}

export function record(more: Partial<KeyRecord> = {}): KeyRecord {
  return {
    name: "someone",
    scopes: ["infer"],
    agents: null,
    limits: { perSecond: 10, concurrent: null, tokensPerMonth: null },
    priority: "normal",
    fallback: "auto",
    addressExempt: false,
    expiresAt: null,
    ...more,
  };
}

function fakeOf<Q, A>(answer: (request: Q) => Promise<A> | A): FakeNamespace<Q, A> {
  return { stubs: [], requests: [], hints: [], answer };
}

function bindingOf<Q, A>(fake: FakeNamespace<Q, A>): unknown {
  return {
    getByName(name: string, options?: DurableObjectNamespaceGetDurableObjectOptions) {
      fake.stubs.push(name);
      fake.hints.push(options?.locationHint);
      return {
        async lease(request: Q): Promise<A> {
          fake.requests.push(request);
          return fake.answer(request);
        },
      };
    },
  };
}
