// The Worker as it is deployed, with the shipped fleet file.
import { env } from "cloudflare:workers";
import { createExecutionContext } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import worker, * as entry from "../../worker/index.ts";
import { BOX_SECRET, stopClock } from "./support/edge.ts";
import { agentAnswer, callIn, fakeFetch, type Sent } from "./support/origin.ts";

async function call(body: object): Promise<Response> {
  if (worker.fetch === undefined) throw new Error("the Worker has no fetch handler");
  const request = new Request<unknown, IncomingRequestCfProperties>("http://localhost/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer dev-key" },
    body: JSON.stringify(body),
  });
  return worker.fetch(
    request,
    { ...env, BOX_SECRET, DEV_KEYS: "1", BOX_ORIGINS: "" },
    createExecutionContext(),
  );
}

function routeOf(sent: Sent | undefined): unknown[] {
  const { ports, format, agentType } = callIn(sent);
  return [ports, format, agentType];
}

describe("the deployed Worker", () => {
  it("accepts the two kinds of calls of the old system's clients", async () => {
    stopClock(Date.now());
    const sent = fakeFetch(() => agentAnswer("box1", "{}"));
    const messages = [{ role: "user", content: "What is my coverage?" }];
    expect((await call({ agent_type: "Clinical", model_port: 8085, messages })).status).toBe(200);
    expect((await call({ agent_type: "Claims", messages })).status).toBe(200);
    expect(routeOf(sent[0])).toEqual([[8085], "mediczy", "Clinical"]);
    expect(routeOf(sent[1])).toEqual([[8084], "mediczy", "Claims"]);
    expect(sent[0]?.url.href).toBe("https://box1.isha.buzz/v1/chat/completions");
  });

  it("exports the objects that wrangler.toml binds", () => {
    expect(Object.keys(entry)).toEqual(expect.arrayContaining(["ApiKey", "ClientAddress", "default"]));
  });
});
