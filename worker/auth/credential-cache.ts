// Caches what the texts of keys resolve to: a deployment sees the same few hundred texts again and again, and hashing
// one costs a promise.
import { BoundedMap } from "../../shared/bounded-map.ts";
import type { Result } from "../../shared/errors.ts";
import { shownKey, type Claim, type ShownKey } from "./credential.ts";
import { sha256Hex } from "./keyed-hash.ts";

/** Half a MiB of an isolate's 128: a text, its hash and its claim each. */
const MAX_KEYS = 1_000;

export class CredentialCache {
  readonly #resolve: (text: string, hash: string) => Result<Claim>;
  readonly #known = new BoundedMap<string, Result<ShownKey>>(MAX_KEYS);

  /** @param resolve must always return the same for the same text */
  constructor(resolve: (text: string, hash: string) => Result<Claim>) {
    this.#resolve = resolve;
  }

  /** Null if the text was not read before. */
  find(text: string): Result<ShownKey> | null {
    return this.#known.get(text) ?? null;
  }

  async read(text: string): Promise<Result<ShownKey>> {
    const claim = this.#resolve(text, await sha256Hex(text));
    const shown: Result<ShownKey> = claim.ok ? { ok: true, value: shownKey(claim.value) } : claim;
    this.#known.set(text, shown);
    return shown;
  }
}
