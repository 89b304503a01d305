// The OpenAPI document of several fleets, under a linter's strictest rules, and its completeness.
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { describe, expect, it } from "vitest";
import shipped from "../../../fleet.config.ts";
import { openApiDocument } from "../../../scripts/build/openapi/document.ts";
import { HEADERS } from "../../../scripts/build/openapi/headers.ts";
import type { Schema } from "../../../scripts/build/openapi/types.ts";
import { ANSWER_HEADERS } from "../../../shared/call-headers.ts";
import { ERRORS } from "../../../shared/errors.ts";
import { RATE_HEADERS } from "../../../worker/limits/rate-headers.ts";
import second from "../../fixtures/second-fleet.ts";

const FLEETS = [
  ["the shipped fleet", shipped],
  ["another fleet, with embeddings", second],
] as const;

async function lint(document: object): Promise<string[]> {
  const config = await createConfig({
    extends: ["recommended-strict"],
    rules: {
      // Answers have more fields than clients need.
      "no-invalid-media-type-examples": { severity: "error", allowAdditionalProperties: true },
    },
  });
  const source = JSON.stringify(document);
  const problems = await lintFromString({ source, absoluteRef: "/openapi.json", config });
  return problems.map(({ ruleId, message, location }) => `${location[0]?.pointer}: ${ruleId}: ${message}`);
}

describe("the OpenAPI document", () => {
  it.each(FLEETS)("of %s passes the linter", async (_, fleet) => {
    expect(await lint(openApiDocument(fleet))).toEqual([]);
  });

  it("would not pass it with a fault", async () => {
    const document = openApiDocument(shipped);
    const broken = { ...document, paths: { ...document.paths, "/x/{id}": { get: { responses: {} } } } };
    expect(await lint(broken)).not.toEqual([]);
  });

  it("has every error code with its status, meaning and retry", () => {
    const listed = openApiDocument(shipped)["x-error-codes"];
    expect(listed.map(({ code }) => code).toSorted()).toEqual(Object.keys(ERRORS).toSorted());
    for (const { code, status, meaning, retry } of listed) {
      expect(status).toBe(ERRORS[code as keyof typeof ERRORS].status);
      expect(meaning).toMatch(/\.$/);
      expect(retry === "no").toBe(ERRORS[code as keyof typeof ERRORS].retry === "never");
    }
  });

  it("has every header that the agent and the limits send", () => {
    const plain = ["content-type", "content-length", "cache-control"];
    for (const name of [...ANSWER_HEADERS, ...RATE_HEADERS]) {
      if (!plain.includes(name)) expect(Object.keys(HEADERS)).toContain(name);
    }
  });

  it("explains every field of a call's body", () => {
    for (const [, fleet] of FLEETS) {
      for (const item of Object.values(openApiDocument(fleet).paths)) {
        const { post } = item;
        if (post === undefined || !post.tags.includes("Models")) continue;
        const schema = post.requestBody?.content["application/json"]?.schema ?? {};
        const properties = (schema["properties"] ?? {}) as Readonly<Record<string, Schema>>;
        for (const [field, { description }] of Object.entries(properties))
          expect([post.operationId, field, description]).toEqual([
            post.operationId,
            field,
            expect.stringMatching(/\.$/),
          ]);
      }
    }
  });

  it("names nothing of the shipped fleet if it describes another", () => {
    const text = JSON.stringify(openApiDocument(second));
    for (const name of ["isha.buzz", "8085", "Clinical", "Qwen", "BiMediX2"])
      expect(text).not.toContain(name);
  });
});
