// An edge with one box, and a fleet object that no other test's agents dial.
import type { FleetInput } from "../../../shared/fleet.ts";
import type { Bindings } from "../../../worker/env.ts";
import { newFleet, type FleetStub } from "./agents.ts";
import { captureLog, edgeOf, type Edge } from "./edge.ts";
import { box, fleetOf, server } from "./fleets.ts";

export interface Stage {
  readonly edge: Edge;
  readonly fleet: FleetStub;
  /** A name that no other test's box has: the audit is the deployment's. */
  readonly north: string;
}

/**
 * @param answers stands in for the fleet object where the edge asks it
 * @param others stand in for other objects
 */
export function stage(
  more: Partial<FleetInput> = {},
  answers?: (fleet: FleetStub) => object,
  others: Partial<Bindings> = {},
): Stage {
  captureLog();
  const fleet = newFleet();
  const north = `box-${crypto.randomUUID()}`;
  const asked = answers?.(fleet) ?? fleet;
  const FLEET = { getByName: () => asked } as unknown as Bindings["FLEET"];
  const boxes = [box(north, [server(9000), server(9001, { agents: ["Alpha"] })])];
  return { edge: edgeOf(fleetOf({ boxes, ...more }), { bindings: { FLEET, ...others } }), fleet, north };
}
