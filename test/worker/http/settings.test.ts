// Settings that work and are dangerous: the edge logs them at its start, and `/admin/fleet` shows them.
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { FleetView } from "../../../shared/fleet-view.ts";
import { edgeOf, type Edge } from "../support/edge.ts";
import { twoBoxes } from "../support/fleets.ts";

const NO_ACCESS = { ACCESS_CLIENT_ID: undefined, ACCESS_CLIENT_SECRET: undefined } as never;

/** The warnings that the edge logs until the test ends. */
function captureWarnings(): unknown[] {
  const lines: unknown[] = [];
  const spy = vi.spyOn(console, "warn").mockImplementation((line: unknown) => {
    lines.push(JSON.parse(String(line)));
  });
  onTestFinished(() => spy.mockRestore());
  return lines;
}

const warningsOf = async (edge: Edge): Promise<(string | null)[]> =>
  FleetView.parse(await (await edge("/admin/fleet", { key: "dev-admin" })).json()).boxes.map(
    ({ warning }) => warning,
  );

describe("a deployment without an Access token", () => {
  it("logs that once for each isolate: it was silent", async () => {
    const warnings = captureWarnings();
    const edge = edgeOf(twoBoxes(), { bindings: NO_ACCESS });
    for (let request = 0; request < 3; request += 1) await edge("/livez");
    expect(warnings).toEqual([{ event: "warning", code: "access_not_set", boxes: ["north", "south"] }]);
  });

  it("shows it at each box in /admin/fleet, with what to do", async () => {
    captureWarnings();
    const [north, south] = await warningsOf(edgeOf(twoBoxes(), { bindings: NO_ACCESS }));
    expect(north).toContain("ACCESS_CLIENT_ID");
    expect(south).toBe(north);
  });

  it("isn't warned about boxes on this machine, which no tunnel reaches", async () => {
    const warnings = captureWarnings();
    const BOX_ORIGINS = JSON.stringify({ north: "http://127.0.0.1:8000", south: "http://[::1]:8001" });
    const bindings = Object.assign({ BOX_ORIGINS }, NO_ACCESS);
    expect(await warningsOf(edgeOf(twoBoxes(), { bindings }))).toEqual([null, null]);
    expect(warnings).toEqual([]);
  });
});

it("a deployment with an Access token has no warning", async () => {
  const warnings = captureWarnings();
  expect(await warningsOf(edgeOf(twoBoxes()))).toEqual([null, null]);
  expect(warnings).toEqual([]);
});
