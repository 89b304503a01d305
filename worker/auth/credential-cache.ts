// What keys' texts resolve to: hashed and looked up once each, since the same few hundred come again and again.
import type { Result } from "../../shared/errors.ts";
import { sha256Hex } from "./keyed-hash.ts";
import type { Claim } from "./credential.ts";
import { shownKey, type ShownKey } from "../limits/key-limit.ts";

/** Half a MiB of an isolate's 128: a text, its hash and its claim each. */
const MAX_KEYS = 1_000;

export class ShownKeys {
  readonly #resolve: (text: string, hash: string) => Result<Claim>;
  readonly #known = new Map<string, Result<ShownKey>>();

  /** @param resolve the same for the same text: what it goes by mustn't change */
  constructor(resolve: (text: string, hash: string) => Result<Claim>) {
    this.#resolve = resolve;
  }

  /** At once, where the text was shown before. */
  find(text: string): Result<ShownKey> | null {
    return this.#known.get(text) ?? null;
  }

  async read(text: string): Promise<Result<ShownKey>> {
    const claim = this.#resolve(text, await sha256Hex(text));
    const shown: Result<ShownKey> = claim.ok ? { ok: true, value: shownKey(claim.value) } : claim;
    this.#known.set(text, shown);
    this.#forgetOldest();
    return shown;
  }

  #forgetOldest(): void {
    for (const text of this.#known.keys()) {
      if (this.#known.size <= MAX_KEYS) return;
      this.#known.delete(text);
    }
  }
}
