// The rehearsal without its faults: a box in a folder tree, from an empty home to an answered call, and its boot.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { PROJECT_NODE, ROOT } from "../../../scripts/paths.ts";

it("deploys a box by the documents, and it comes back after a boot", async () => {
  const { stdout } = await promisify(execFile)(PROJECT_NODE, [join(ROOT, "scripts/rehearse.ts"), "--walk"]);
  for (const step of [
    "the card of nvidia-smi",
    "secrets init",
    "plan",
    "generate",
    "doctor",
    "smoke",
    "first call",
    "pm2 resurrect",
  ])
    expect(stdout).toContain(step);
  expect(stdout).toContain("As documented");
});
