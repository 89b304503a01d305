import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import fleet from "../../../fleet.config.ts";
import { fleetFileText, withBoxes } from "../../../scripts/start/more-boxes.ts";
import { loadFleet } from "../../../scripts/stack/stack.ts";

it("copies the first box under further names, and keeps the fleet's own", () => {
  const names = (count: number, of = fleet): string[] => withBoxes(of, count).boxes.map(({ name }) => name);
  expect(names(3)).toEqual(["box1", "box2", "box3"]);
  const named = {
    ...fleet,
    boxes: withBoxes(fleet, 2).boxes.map((box, at) => ({ ...box, name: `b${2 - at}` })),
  };
  expect(names(3, named)).toEqual(["b2", "b1", "b3"]);
  expect(names(1, named)).toEqual(["b2"]);
});

it("makes a fleet file that is valid", async () => {
  const folder = await mkdtemp(join(tmpdir(), "fleet-"));
  try {
    const two = withBoxes(fleet, 2);
    await writeFile(join(folder, "fleet.ts"), fleetFileText(two));
    expect(await loadFleet(join(folder, "fleet.ts"))).toEqual(two);
  } finally {
    await rm(folder, { recursive: true });
  }
});
