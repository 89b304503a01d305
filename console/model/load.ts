// The load of servers in one line. Servers that no agent reports don't count as idle: their figures are unknown.
import type { FleetServerView } from "../../shared/fleet-view.ts";
import { figure, quantityText } from "./format.ts";

type Loaded = Pick<FleetServerView, "state" | "busy" | "slots" | "waiting" | "tokensPerSecond">;

/** "3 of 8 slots busy · 2 waiting · 94.1 tokens/s · one server unknown". */
export function loadText(servers: readonly Loaded[]): string {
  const known = servers.filter(({ state }) => state !== "unknown");
  if (known.length === 0) return "slots, queue and tokens per second are unknown";
  const sum = (of: (server: Loaded) => number): number => known.reduce((total, each) => total + of(each), 0);
  const rates = known.flatMap(({ tokensPerSecond }) => tokensPerSecond ?? []);
  const unknown = servers.length - known.length;
  return [
    `${figure(sum(({ busy }) => busy))} of ${figure(sum(({ slots }) => slots))} slots busy`,
    `${figure(sum(({ waiting }) => waiting))} waiting`,
    `${figure(rates.length === 0 ? null : rates.reduce((total, each) => total + each, 0), 1)} tokens/s`,
    ...(unknown === 0 ? [] : [`${quantityText(unknown, "server")} unknown`]),
  ].join(" · ");
}
