// Makes a fleet file with another number of boxes, for `npm start -- --boxes N`. Pure: a fleet in, a file's text out.
import { join } from "node:path";
import type { FleetConfig } from "../../shared/fleet.ts";
import { ROOT } from "../paths.ts";

/** The fleet's first boxes; further ones are copies of the first under names of their own. */
export function withBoxes(fleet: FleetConfig, count: number): FleetConfig {
  const [first, ...others] = fleet.boxes;
  if (first === undefined) throw new Error("the fleet file has no box");
  const boxes = [first, ...others].slice(0, count);
  const stem = first.name.replace(/\d+$/, "");
  for (let number = 2; boxes.length < count; number += 1) {
    const name = `${stem}${number}`;
    if (!boxes.some((box) => box.name === name)) boxes.push({ ...first, name });
  }
  return { ...fleet, boxes };
}

export function fleetFileText(fleet: FleetConfig) {
  const shared = JSON.stringify(join(ROOT, "shared", "fleet.ts"));
  return `import { defineFleet } from ${shared};\nexport default defineFleet(${JSON.stringify(fleet, null, 2)});\n`;
}
