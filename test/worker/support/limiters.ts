// Limiter objects that answer as a test says, for what the real ones can't be made to do.
import type {
  AddressLeaseAnswer,
  AddressLeaseQuestion,
  KeyLeaseAnswer,
  KeyLeaseQuestion,
  Lease,
} from "../../../worker/limits/lease-request.ts";
import type { KeyRecord } from "../../../shared/principal.ts";
import type { Bindings } from "../../../worker/env.ts";

export interface FakeNamespace<Q, A> {
  /** Names asked for: one entry a stub. */
  readonly stubs: string[];
  readonly questions: Q[];
  /** Where the object was to be, as told with each stub. */
  readonly hints: (string | undefined)[];
  answer: (question: Q) => Promise<A> | A;
}

/** In place of `API_KEY`. */
export function fakeKeys(
  answer: (question: KeyLeaseQuestion) => Promise<KeyLeaseAnswer> | KeyLeaseAnswer,
): FakeNamespace<KeyLeaseQuestion, KeyLeaseAnswer> & { readonly binding: Bindings["API_KEY"] } {
  const fake = fakeOf(answer);
  return { ...fake, binding: bindingOf(fake) as Bindings["API_KEY"] };
}

/** In place of `CLIENT_ADDRESS`. */
export function fakeAddresses(
  answer: (question: AddressLeaseQuestion) => Promise<AddressLeaseAnswer> | AddressLeaseAnswer,
): FakeNamespace<AddressLeaseQuestion, AddressLeaseAnswer> & {
  readonly binding: Bindings["CLIENT_ADDRESS"];
} {
  const fake = fakeOf(answer);
  return { ...fake, binding: bindingOf(fake) as Bindings["CLIENT_ADDRESS"] };
}

/** The real namespace, noting who is asked. */
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

export function lease(granted: number, endsInMs = 500, more: Partial<Lease> = {}): Lease {
  return { granted, remaining: 0, endsInMs, next: null, ...more };
}

/** What a key's object says of a key it knows. */
export function known(told: Lease, more: Partial<KeyRecord> = {}, quotaSpent = false): KeyLeaseAnswer {
  return { kind: "known", record: record(more), lease: told, quotaSpent };
}

/** What an address's object says. */
export function counted(told: Lease, keysRefusedForMs = 0): AddressLeaseAnswer {
  return { lease: told, keysRefusedForMs };
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

function fakeOf<Q, A>(answer: (question: Q) => Promise<A> | A): FakeNamespace<Q, A> {
  return { stubs: [], questions: [], hints: [], answer };
}

function bindingOf<Q, A>(fake: FakeNamespace<Q, A>): unknown {
  return {
    getByName(name: string, options?: DurableObjectNamespaceGetDurableObjectOptions) {
      fake.stubs.push(name);
      fake.hints.push(options?.locationHint);
      return {
        async lease(question: Q): Promise<A> {
          fake.questions.push(question);
          return fake.answer(question);
        },
      };
    },
  };
}
