// Makes the tokens with which the edge and a box authenticate to each other: an HMAC of the box's name and the direction.
// A token is valid for one box and one direction only.

export type Direction = "edge-to-agent" | "agent-to-edge";

/** HMAC-SHA-256 of `text` with `secret`, in lower-case hexadecimal. Each runtime passes its own. */
export type Hmac = (secret: string, text: string) => Promise<string>;

/** The token as sent in `x-isha-token`: 64 hexadecimal digits. */
export async function boxToken(
  hmac: Hmac,
  secret: string,
  box: string,
  direction: Direction,
): Promise<string> {
  // The length distinguishes ("a", "b:c") from ("a:b", "c").
  return hmac(secret, `isha-box-token/1:${box.length}:${box}:${direction}`);
}
