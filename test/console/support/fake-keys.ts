// Keys of a fake admin API, in memory.
import { formatApiKey } from "../../../shared/api-key.ts";
import { KeyChange, type KeyList, KeyView, KeyWithSecret, NewKey } from "../../../shared/keys.ts";
import { SeededRandom } from "../../support/seeded-random.ts";

const random = new SeededRandom(11);

/** A well-formed key that no deployment accepts. */
export function fakeKey(id: string): string {
  return formatApiKey(id, random.bytes(32));
}

const iso = (text: string | null): string | null => (text === null ? null : new Date(text).toISOString());

export class FakeKeys {
  readonly keys: KeyView[] = [];
  readonly #clock: () => number;

  constructor(clock: () => number) {
    this.#clock = clock;
    this.#add("console0admin", { name: "Operators", scopes: ["infer", "admin"] });
    this.#add("Qm2xPq8sT1", {
      name: "Mediczy production",
      limits: { tokensPerMonth: 5_000_000, concurrent: 40 },
    });
    this.#add("Zk81hHa0Lw", {
      name: "Claims partner",
      agents: ["Claims", "Billing"],
      limits: { perSecond: 20, tokensPerMonth: 1_000_000 },
      priority: "low",
      expiresAt: "2030-01-01",
    });
    this.#add("Aa00Bb11Cc", {
      name: "An integration with a rather long name that described it at the time",
      addressExempt: true,
    });
    this.#add("Old0Old0Old", { name: "Old pilot" });
    Object.assign(this.keys.at(-1) ?? {}, {
      state: "revoked",
      revokedAt: new Date(this.#clock()).toISOString(),
    });
  }

  #add(id: string, input: unknown): KeyView {
    const { limits, expiresAt, ...record } = NewKey.parse(input);
    const view = KeyView.parse({
      ...record,
      id,
      state: "active",
      limits: { ...limits, perSecond: limits.perSecond ?? 1000 },
      expiresAt: iso(expiresAt),
      createdAt: new Date(this.#clock()).toISOString(),
      revokedAt: null,
      oldSecretUntil: null,
    });
    this.keys.push(view);
    return view;
  }

  create(body: unknown): KeyWithSecret {
    const id = `new${String(this.keys.length).padStart(7, "0")}`;
    return KeyWithSecret.parse({ ...this.#add(id, body), key: fakeKey(id) });
  }

  change(id: string, body: unknown): KeyView {
    const key = this.find(id);
    const { limits, expiresAt, ...change } = KeyChange.parse(body);
    Object.assign(key, change, { limits: { ...key.limits, ...limits } });
    if (expiresAt !== undefined) key.expiresAt = iso(expiresAt);
    return key;
  }

  rotate(id: string, graceSeconds: number): KeyWithSecret {
    const key = this.find(id);
    key.oldSecretUntil = new Date(this.#clock() + graceSeconds * 1000).toISOString();
    return KeyWithSecret.parse({ ...key, key: fakeKey(id) });
  }

  revoke(id: string): KeyView {
    return Object.assign(this.find(id), {
      state: "revoked" as const,
      revokedAt: new Date(this.#clock()).toISOString(),
    });
  }

  /** Adds keys with names that a page must show as they are. */
  addMany(count: number): void {
    const names = ["<img src=x onerror=alert(1)>", "ключ номер", 'A & B ‘quoted’ "name"', "=1+1"];
    for (let index = 0; index < count; index += 1) {
      const name = `${names[index % names.length] ?? ""} ${index}`;
      this.#add(`many${String(index).padStart(8, "0")}`, { name });
    }
  }

  /** One page, as the edge returns it. */
  page(after: string, limit: number): KeyList {
    const start = this.keys.findIndex(({ id }) => id === after) + 1;
    const keys = this.keys.slice(start, start + limit);
    const isLast = start + limit >= this.keys.length;
    return { keys, next: isLast ? null : (keys.at(-1)?.id ?? null) };
  }

  find(id: string): KeyView {
    const found = this.keys.find((key) => key.id === id);
    if (found === undefined) throw new Error(`no key ${id}`);
    return found;
  }
}
