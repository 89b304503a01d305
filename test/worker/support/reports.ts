// Reports of a fleet object about its boxes, without agents that dial it.
import type { Bindings } from "../../../worker/env.ts";
import type { BoxReport } from "../../../worker/fleet/object/box-reports.ts";
import { linkedAgent, linkServer, readSnapshot } from "./agents.ts";

/** The report about a linked box, with the state of each port. */
export function reportOf(box: string, states: Readonly<Record<number, string>>): BoxReport {
  const ports = Object.keys(states).map(Number);
  const servers = ports.map((port) => linkServer(port, { state: states[port] }));
  const agent = linkedAgent({ ports, models: ports.map(() => "m"), snapshot: readSnapshot(1, { servers }) });
  return { box, lastSeenAgoMs: 1_000, version: "1.2.3", drained: false, agents: [agent] };
}

/** @param reports null for an object that doesn't answer */
export function reportingFleet(reports: readonly BoxReport[] | null): Bindings["FLEET"] {
  const boxes = async (): Promise<readonly BoxReport[]> => {
    if (reports === null) throw new Error("the object is restarting");
    return reports;
  };
  return {
    getByName: () => ({ boxes, noteFailures: async () => undefined }),
  } as unknown as Bindings["FLEET"];
}
