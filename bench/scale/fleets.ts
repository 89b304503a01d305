// Writes fleet files that differ from the shipped one in one respect, and the Worker's entry and configuration for them.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, SHIPPED_FLEET } from "../../scripts/paths.ts";
import { configText, entryText } from "../../scripts/stack/edge-files.ts";

export interface FleetChange {
  /** Copies of the first box, named `box1` and so on. */
  readonly boxes: number;
  readonly maxBodyKib: number;
}

/** @returns the paths of the fleet file and of a wrangler configuration whose Worker serves it */
export function writeFleet(
  folder: string,
  { boxes, maxBodyKib }: FleetChange,
): { readonly fleetFile: string; readonly config: string } {
  const fleetFile = join(folder, "fleet.config.ts");
  writeFileSync(
    fleetFile,
    `import shipped from ${JSON.stringify(SHIPPED_FLEET)};
const [box] = shipped.boxes;
if (box === undefined) throw new Error("the fleet file has no box");
const boxes = Array.from({ length: ${boxes} }, (_, at) => ({ ...box, name: \`box\${at + 1}\` }));
export default { ...shipped, boxes, maxBodyKib: ${maxBodyKib} };
`,
  );
  const entryFile = join(ROOT, "worker/index.ts");
  const main = join(folder, "index.ts");
  const shipped = readFileSync(entryFile, "utf8");
  writeFileSync(main, entryText(shipped, { entryFile, shippedFleet: SHIPPED_FLEET, fleetFile }));
  const config = join(folder, "wrangler.toml");
  const toml = readFileSync(join(ROOT, "wrangler.toml"), "utf8");
  writeFileSync(config, configText(toml, { root: ROOT, main }));
  return { fleetFile, config };
}
