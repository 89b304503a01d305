// An edge with one box, and a fleet object that no other test's agents dial.
import type { FleetInput } from "../../../shared/fleet.ts";
import type { Bindings } from "../../../worker/env.ts";
import { newFleet, type FleetStub } from "./agents.ts";
import { captureLog, edgeOf, type Edge } from "./edge.ts";
import { box, fleetOf, server } from "./fleets.ts";

export interface Stage {
  readonly edge: Edge;
  readonly fleet: FleetStub;
  /** A box name that no other test uses: all tests share the deployment's audit. */
  readonly north: string;
}

/**
 * @param fakeFetch replaces the fleet object's RPC methods for the edge
 * @param others replace other bindings
 */
export function stage(
  more: Partial<FleetInput> = {},
  fakeFetch?: (fleet: FleetStub) => object,
  others: Partial<Bindings> = {},
): Stage {
  captureLog();
  const fleet = newFleet();
  const north = `box-${crypto.randomUUID()}`;
  const object = fakeFetch?.(fleet) ?? fleet;
  const FLEET = { getByName: () => object } as unknown as Bindings["FLEET"];
  const boxes = [box(north, [server(9000), server(9001, { agents: ["Alpha"] })])];
  return { edge: edgeOf(fleetOf({ boxes, ...more }), { bindings: { FLEET, ...others } }), fleet, north };
}
