// The fleet as text: what isn't real is marked.
import { expect, it } from "vitest";
import type { FleetView } from "../../../shared/fleet-view.ts";
import { fleetText } from "../../../cli/terminal/fleet-text.ts";
import { box, fleet } from "../support/fleet.ts";

const viewOf = (simulated?: boolean): FleetView =>
  fleet({ boxes: [box("north", [], simulated === undefined ? {} : { simulated })] });

it("says of a simulated box that it is one, and of no other", () => {
  const screen = { columns: 100, colours: false };
  expect(fleetText(viewOf(true), screen)).toContain(
    "north is simulated: its servers or its card aren't real.\n",
  );
  for (const simulated of [false, undefined])
    expect(fleetText(viewOf(simulated), screen)).not.toContain("simulated");
});
