// A request as the limits see it: the name that its address is counted under, and what the platform provides to check
// it. The address comes from CF-Connecting-IP and nothing else: a client can write any other header.
import type { Bindings } from "../env.ts";

export interface Caller {
  readonly bindings: Bindings;
  /** The name that the client's address is counted under. */
  readonly address: string;
  readonly requestId: string;
  /** Whether it is a call to a model: only those are refused when a key's month is used up. */
  readonly isModelCall: boolean;
  /** Lease requests that nothing waits for run on after the answer. */
  readonly context: Pick<ExecutionContext, "waitUntil">;
}

/**
 * Cloudflare's own egress: the Workers of all its customers share one address of this /48. There, CF-Worker is the zone
 * of the Worker, and no client can write it
 * (https://developers.cloudflare.com/fundamentals/reference/http-headers/#cf-worker).
 */
const SHARED_EGRESS = "2a06:98c0:3600:";
const ZONE = /^[a-z0-9][a-z0-9.-]{0,252}$/i;

/**
 * An IPv4 address names itself, an IPv6 address its /64, because one customer has at least that much. A Worker is named
 * by its zone, or one customer's flood would block the Workers of all others. Requests without an address share one
 * name: outside Cloudflare there is none.
 * @param worker reads CF-Worker
 */
export function addressName(connectingIp: string | undefined, worker: () => string | undefined): string {
  if (connectingIp === undefined) return "none";
  if (!connectingIp.includes(":")) return isIpv4(connectingIp) ? connectingIp : "none";
  const groups = ipv6Groups(connectingIp.toLowerCase());
  if (groups === null) return "none";
  const mapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (mapped) return [6, 7].flatMap((at) => [(groups[at] ?? 0) >> 8, (groups[at] ?? 0) & 0xff]).join(".");
  const network = groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(":");
  const zone = network.startsWith(SHARED_EGRESS) ? worker() : undefined;
  return zone !== undefined && ZONE.test(zone) ? `worker ${zone.toLowerCase()}` : `${network}::/64`;
}

/** Four numbers up to 255; nothing else may name an object, or a client could create objects at will. */
function isIpv4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255);
}

/** The eight groups of an IPv6 address (RFC 4291, 2.2); null if it isn't one. */
function ipv6Groups(text: string): number[] | null {
  const [address = ""] = text.split("%");
  const parts = address.split("::");
  if (parts.length > 2) return null;
  const [head = "", tail] = parts.map(dottedToGroups);
  const front = head === "" ? [] : head.split(":");
  const back = tail === undefined || tail === "" ? [] : tail.split(":");
  const missing = 8 - front.length - back.length;
  if (tail === undefined ? missing !== 0 : missing < 1) return null;
  const groups = [...front, ...Array.from({ length: Math.max(0, missing) }, () => "0"), ...back];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/.test(group))) return null;
  return groups.map((group) => Number.parseInt(group, 16));
}

/** `::ffff:192.0.2.1` has its last two groups in IPv4's notation. */
function dottedToGroups(part: string): string {
  const at = part.lastIndexOf(":") + 1;
  const dotted = part.slice(at);
  if (!isIpv4(dotted)) return part;
  const [a = 0, b = 0, c = 0, d = 0] = dotted.split(".").map(Number);
  return `${part.slice(0, at)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}
