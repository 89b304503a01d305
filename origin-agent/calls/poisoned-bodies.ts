// Remembers the bodies of requests on which two servers died, so that the same request doesn't kill two more when its
// client sends it again. It keeps only HMACs, which reveal nothing of a prompt.
import { createHmac } from "node:crypto";
import { BoundedMap } from "../../shared/bounded-map.ts";

/** Far longer than an SDK's retries; short enough for an operator who has fixed the cause. */
const REFUSED_FOR_MS = 10 * 60_000;

/** Each took two servers down, which takes PM2 seconds to repair: ten minutes see far fewer. */
const MAX_BODIES = 1_000;

export class PoisonedBodies {
  readonly #secret: string;
  /** HMAC of a body → when it was added. */
  readonly #addedAt = new BoundedMap<string, number>(MAX_BODIES);

  constructor(secret: string) {
    this.#secret = secret;
  }

  /** @param body as the client sent it */
  add(body: Buffer, now: number): void {
    this.#addedAt.set(this.#hmac(body), now);
  }

  has(body: Buffer, now: number): boolean {
    // Nearly always, so calls don't pay for the HMAC.
    if (this.#addedAt.size === 0) return false;
    const name = this.#hmac(body);
    const addedAt = this.#addedAt.get(name);
    if (addedAt === undefined) return false;
    if (now - addedAt < REFUSED_FOR_MS) return true;
    this.#addedAt.delete(name);
    return false;
  }

  #hmac(body: Buffer): string {
    return createHmac("sha256", this.#secret).update(body).digest("base64");
  }
}
