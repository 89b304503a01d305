// The old system's two published requests, word for word: served while the fleet file lets them. By default they are
// refused with help: bad-input.test.ts.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { askReady, errorOf, json, startReady, type Answer, type Stack } from "./ask.ts";

const BY_PORT =
  '{"agent_type":"Clinical","model_port":8085,"messages":[{"role":"user","content":"Patient complaint: chest pain"}]}';
const BY_AGENT = '{"agent_type":"Claims","messages":[{"role":"user","content":"What is my coverage?"}]}';
const LEGACY_FLEET = new URL("../fixtures/legacy-fleet.ts", import.meta.url).pathname;

/** Without a key, unless the headers have one. */
function post(stack: Stack, body: string, headers: Record<string, string> = {}): Promise<Answer> {
  return askReady(stack, body, { authorization: null, ...headers });
}

describe("while legacy.anonymous and legacy.keys let them", () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startReady({
      simulator: { tokensPerSecond: 2000, promptTokensPerSecond: 100_000 },
      fleetFile: LEGACY_FLEET,
      devKeys: false,
    });
  });
  afterAll(async () => {
    await stack?.stop();
  });

  test.each([
    [BY_PORT, "8085", "BiMediX2-8B-hf.i1-Q6_K.gguf"],
    [BY_AGENT, "8084", "openinsurancellm-llama3-8b.Q5_K_M.gguf"],
  ])("%s is answered in the old shape, with a warning that names the date", async (body, port, model) => {
    const answer = await post(stack, body);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-isha-port")).toBe(port);
    expect(answer.headers.get("warning")).toContain("2099-01-01");
    expect(json(answer)).toMatchObject({
      id: expect.stringMatching(/^cmpl-/),
      object: "text_completion",
      created: expect.any(Number),
      model,
      choices: [{ text: expect.any(String), finish_reason: "stop" }],
      usage: {
        prompt_tokens: expect.any(Number),
        completion_tokens: expect.any(Number),
        total_tokens: expect.any(Number),
      },
    });
  });

  test("an agent type outside the list still needs a key", async () => {
    const answer = await post(stack, '{"agent_type":"Chat","messages":[{"role":"user","content":"hi"}]}');
    expect(answer.status).toBe(403);
    expect(errorOf(answer).code).toBe("agent_not_allowed");
  });

  test("the old key is still a key, with a warning", async () => {
    const answer = await post(stack, BY_AGENT, { authorization: "Bearer dev-key" });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("warning")).toContain("old system");
  });
});
