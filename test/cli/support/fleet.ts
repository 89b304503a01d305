// A fleet as the service shows it: one box with two servers.
import type { FleetBoxView, FleetServerView, FleetView } from "../../../shared/fleet-view.ts";

export const AT = Date.parse("2026-11-23T03:00:00Z");

export function server(port: number, more: Partial<FleetServerView> = {}): FleetServerView {
  return {
    port,
    pm2: `llama-${port}`,
    model: `Model-${port}`,
    agents: [],
    state: "ready",
    why: "",
    since: AT,
    slots: 2,
    busy: 1,
    waiting: 3,
    places: 32,
    waitMs: null,
    tokensPerSecond: 31.46,
    firstTokenP50Ms: null,
    firstTokenP95Ms: null,
    gpuGib: 6.25,
    budgetGib: 6.4,
    restarts: 0,
    ...more,
  };
}

export function box(
  name: string,
  servers: FleetServerView[],
  more: Partial<FleetBoxView> = {},
): FleetBoxView {
  return {
    name,
    gpu: "a card",
    vramGib: 24,
    state: "up",
    lastSeenAt: AT,
    version: "1.2.3",
    agents: 1,
    warning: null,
    gpus: null,
    servers,
    usageBehindMs: null,
    ...more,
  };
}

export const fleet = (more: Partial<FleetView> = {}): FleetView => ({
  at: AT,
  boxes: [box("north", [server(9000), server(9001, { tokensPerSecond: null, gpuGib: null, waiting: 0 })])],
  traffic: { windowS: 300, byAgent: [], byCode: [], fallbacks: 0, recoveries: 0 },
  failures: [],
  events: [],
  alarms: [],
  ...more,
});
