// Refusals on Anthropic's paths: whoever refuses, the body has the format that Anthropic's SDKs read.
import { expect, it } from "vitest";
import { captureLog, edgeOf, type TestRequest } from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";

const BODY = JSON.stringify({ max_tokens: 8, messages: [{ role: "user", content: "a" }] });

it.each<[string, number, string, TestRequest]>([
  ["without a key", 401, "authentication_error", { body: BODY, key: null }],
  ["with another method", 405, "invalid_request_error", { method: "DELETE" }],
  ["with a body that is too large", 413, "request_too_large", { body: "x".repeat(5 * 1024 * 1024) }],
  [
    "with a body that isn't JSON",
    415,
    "invalid_request_error",
    { body: BODY, headers: { "content-type": "text/plain" } },
  ],
])("a request to /v1/messages %s is a %i in Anthropic's format", async (_, status, type, request) => {
  captureLog();
  const answer = await edgeOf(fleetOf())("/v1/messages", request);
  expect(answer.status).toBe(status);
  expect(await answer.json()).toMatchObject({
    type: "error",
    error: { type, message: expect.any(String) as string },
    request_id: answer.headers.get("x-request-id"),
  });
  expect(answer.headers.get("access-control-expose-headers")).toContain("x-request-id");
  expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
});

it.each(["/tokenize", "/detokenize", "/apply-template"])("pages of other sites may call %s", async (path) => {
  const headers = { origin: "https://a.example", "access-control-request-method": "POST" };
  const answer = await edgeOf(fleetOf())(path, { method: "OPTIONS", headers });
  expect(answer.status).toBe(204);
  expect(answer.headers.get("access-control-allow-origin")).toBe("*");
  expect(answer.headers.get("strict-transport-security")).not.toBeNull();
});
