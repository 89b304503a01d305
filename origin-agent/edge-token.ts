// Whether a request comes from the edge: its token is the HMAC that only a holder of the box's secret can make. And
// the same the other way round: what this box shows the edge.
import { createHmac, timingSafeEqual } from "node:crypto";
import { boxToken, type Direction } from "../shared/box-token.ts";

/** HMAC-SHA-256 as hexadecimal, in the shape `shared/box-token.ts` wants it. */
const nodeHmac = (secret: string, text: string): Promise<string> =>
  Promise.resolve(createHmac("sha256", secret).update(text).digest("hex"));

/** This box's token toward the edge. @param secret the current one, which the edge knows before any box does */
export const tokenForEdge = (secret: string, box: string): Promise<string> =>
  boxToken(nodeHmac, secret, box, "agent-to-edge");

/**
 * A check of tokens for this box.
 * @param secrets all that count at the moment: two while one is being rotated.
 */
export async function tokenCheck(
  secrets: readonly string[],
  box: string,
  direction: Direction,
): Promise<(given: string | undefined) => boolean> {
  const expected = await Promise.all(
    secrets.map(async (secret) => Buffer.from(await boxToken(nodeHmac, secret, box, direction))),
  );
  return function isOurs(given) {
    const bytes = Buffer.from(given ?? "");
    // Every token is compared, so that the time taken doesn't say which one was near.
    return expected
      .map((token) => token.length === bytes.length && timingSafeEqual(token, bytes))
      .includes(true);
  };
}
