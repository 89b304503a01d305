// The fleet file's index.
import { describe, expect, it } from "vitest";
import { indexFleet } from "../../../worker/fleet/fleet-index.ts";
import { box, fleetOf, server } from "../support/fleets.ts";

describe("the index of a fleet", () => {
  const fleet = fleetOf({
    boxes: [
      box("north", [server(9000), server(9001, { agents: ["Alpha"], description: "the first" })]),
      box("south", [
        server(9001, { agents: ["Alpha"], description: "the second" }),
        server(9007, { model: "Model-9001", agents: ["Gamma"] }),
      ]),
    ],
  });
  const index = indexFleet(fleet);

  it("finds by port, by agent type, by model and by file, letter case aside", () => {
    expect(index.byPort.get(9007)?.model).toBe("Model-9001");
    expect(index.byAgent.get("gamma")).toMatchObject({ name: "Gamma", server: { port: 9007 } });
    const portsOf = (name: string) => index.byModel.get(name)?.map(({ port }) => port);
    expect(portsOf("model-9000")).toEqual([9000]);
    expect(portsOf("model-9007.gguf")).toEqual([9007]);
    expect(portsOf("model-9001")).toEqual([9001, 9007]);
    expect(index.byAgent.has("Gamma")).toBe(false);
  });

  it("has the first box's entry if several match", () => {
    expect(index.byPort.get(9001)?.description).toBe("the first");
    expect(index.byAgent.get("alpha")?.server.description).toBe("the first");
    expect(index.byModel.get("model-9001")?.[0]?.description).toBe("the first");
  });

  it("has the default server", () => {
    expect(index.defaultServer.port).toBe(9000);
  });
});
