import { expect, it } from "vitest";
import fleet from "../../../fleet.config.ts";
import { nextCall } from "../../../scripts/start/traffic.ts";
import { SeededRandom } from "../../support/seeded-random.ts";

it("is a mix of every agent type, streams, other dialects, and a few calls that are refused", () => {
  const random = new SeededRandom(7);
  const calls = Array.from({ length: 1_000 }, () => nextCall(fleet, () => random.next()));
  const share = (has: (call: (typeof calls)[number]) => boolean): number =>
    calls.filter(has).length / calls.length;
  const agents = new Set(calls.map(({ body }) => body["agent_type"]).filter((agent) => agent !== undefined));
  const listed = fleet.boxes.flatMap(({ servers }) => servers.flatMap(({ agents }) => agents));
  expect(agents).toEqual(new Set(["Default", ...listed]));
  expect(share(({ body }) => body["stream"] === true)).toBeGreaterThan(0.4);
  expect(share(({ path }) => path === "/v1/messages")).toBeGreaterThan(0.01);
  const refused = share(({ body }) => body["model"] === "gpt-4" || body["max_tokens"] === undefined);
  expect(refused).toBeGreaterThan(0.01);
  expect(refused).toBeLessThan(0.1);
});
