// How edge and box prove themselves to each other: an HMAC of the box's name and of who speaks to whom.
// A token of one box is worth nothing at another, and one for a direction nothing in the other.

/** Who speaks to whom. */
export type Direction = "edge-to-agent" | "agent-to-edge";

/** The part of WebCrypto both runtimes have; passed in, so this file stays free of either. */
export interface Hmac {
  /** HMAC-SHA-256 of `text` under `secret`, as lower-case hexadecimal. */
  (secret: string, text: string): Promise<string>;
}

/** The token as it travels in `x-isha-token`: 64 hexadecimal digits. */
export async function boxToken(
  hmac: Hmac,
  secret: string,
  box: string,
  direction: Direction,
): Promise<string> {
  // The length in front keeps ("a", "b:c") and ("a:b", "c") apart.
  return hmac(secret, `isha-box-token/1:${box.length}:${box}:${direction}`);
}
