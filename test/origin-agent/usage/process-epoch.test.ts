import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { epochOf, isEpochAlive, ownEpoch } from "../../../origin-agent/usage/process-epoch.ts";

const [boot = "", pid = "", startTime = ""] = ownEpoch().split("-");

describe("a process's epoch", () => {
  it("is constant and valid in a file name", () => {
    expect(ownEpoch()).toBe(ownEpoch());
    expect(ownEpoch()).toMatch(/^[0-9a-f]{8}-\d+-\d+$/);
  });

  it("is alive while the process runs, and not after a kill", async () => {
    const child = spawn(process.execPath, ["-e", "setInterval(() => undefined, 1000)"]);
    await once(child, "spawn");
    const epoch = epochOf(child.pid ?? -1) ?? "";
    expect([isEpochAlive(ownEpoch()), isEpochAlive(epoch)]).toEqual([true, true]);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(isEpochAlive(epoch)).toBe(false);
  });

  it.each([
    ["an earlier process with the same pid", `${boot}-${pid}-${Number(startTime) - 1}`],
    ["a process from before the last boot", `${boot === "00000000" ? "1" : "0"}0000000-${pid}-${startTime}`],
    ["no process", "another-name"],
    ["a path", `../${ownEpoch()}`],
  ])("of %s is not alive", (_what, epoch) => {
    expect(isEpochAlive(epoch)).toBe(false);
  });
});
