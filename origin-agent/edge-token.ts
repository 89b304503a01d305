// Checks that a request comes from the edge (its token is an HMAC that requires the box's secret) or from a program on
// this machine. Also makes the token that this box sends to the edge.
import { createHmac, timingSafeEqual } from "node:crypto";
import { boxToken, type Direction } from "../shared/box-token.ts";

/** HMAC-SHA-256 in hexadecimal, with the signature that `shared/box-token.ts` expects. */
const nodeHmac = (secret: string, text: string): Promise<string> =>
  Promise.resolve(createHmac("sha256", secret).update(text).digest("hex"));

/** This box's token for the edge. @param secret the current one; the edge gets a new secret before any box */
export const tokenForEdge = (secret: string, box: string): Promise<string> =>
  boxToken(nodeHmac, secret, box, "agent-to-edge");

/**
 * Returns a function that checks tokens for this box.
 * @param secrets all valid ones: two during a rotation.
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
    // Compares with every token, so that the time taken doesn't reveal which one nearly matched.
    return expected
      .map((token) => token.length === bytes.length && timingSafeEqual(token, bytes))
      .includes(true);
  };
}

/** Headers of proxies. cloudflared, which connects from loopback too, always sends several of them. */
const PROXY_HEADER = /^(cf-.*|x-forwarded-.*|x-real-ip|forwarded|via|cdn-loop)$/;

/** Whether a request comes from a program on this machine, and not through a proxy on it. */
export function isLocal(
  remoteAddress: string | undefined,
  headers: Readonly<Record<string, unknown>>,
): boolean {
  const isLoopback = /^(::1|(::ffff:)?127(\.\d{1,3}){3})$/.test(remoteAddress ?? "");
  return isLoopback && !Object.keys(headers).some((name) => PROXY_HEADER.test(name));
}
