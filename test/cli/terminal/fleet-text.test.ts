// The fleet as text: what isn't real is marked.
import { expect, it } from "vitest";
import type { FleetView } from "../../../shared/fleet-view.ts";
import { fleetText } from "../../../cli/terminal/fleet-text.ts";

const viewOf = (simulated?: boolean): FleetView => ({
  at: 1,
  boxes: [
    {
      name: "north",
      gpu: "a card",
      vramGib: 24,
      state: "up",
      lastSeenAt: 1,
      version: "1",
      agents: 1,
      warning: null,
      ...(simulated === undefined ? {} : { simulated }),
      gpus: null,
      servers: [],
      usageBehindMs: null,
    },
  ],
  traffic: { windowS: 0, byAgent: [], byCode: [], fallbacks: 0, recoveries: 0 },
  failures: [],
  events: [],
  alarms: [],
});

it("says of a simulated box that it is one, and of no other", () => {
  const screen = { columns: 100, colours: false };
  expect(fleetText(viewOf(true), screen)).toContain(
    "north is simulated: its servers or its card aren't real.\n",
  );
  for (const simulated of [false, undefined])
    expect(fleetText(viewOf(simulated), screen)).not.toContain("simulated");
});
