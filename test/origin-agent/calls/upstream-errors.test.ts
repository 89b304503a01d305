import { describe, expect, it } from "vitest";
import { readUpstreamError } from "../../../origin-agent/calls/upstream-errors.ts";
import { TRANSCRIPTS } from "../support/transcripts.ts";

/** The client's error for every recorded error. */
const MEANINGS: Readonly<Record<string, string>> = {
  "health-loading": "loading",
  "chat-loading": "loading",
  "embeddings-off": "not_supported_by_model",
  "rerank-off": "not_supported_by_model",
  "error-bad-json": "upstream_failed",
  "error-no-messages": "invalid_request",
  "error-messages-type": "invalid_request",
  "error-role": "invalid_request",
  "error-max-tokens-type": "invalid_request",
  "error-context": "context_length_exceeded",
  "error-image": "upstream_failed",
  "error-key": "upstream_failed",
  "json-schema": "invalid_request",
  "json-schema-bad": "invalid_request",
  "anthropic-error": "upstream_failed",
  "responses-error": "invalid_request",
  "n-capped": "invalid_request",
};

const recorded = TRANSCRIPTS.flatMap(({ name, response }) =>
  response !== null && response.status >= 400
    ? [{ name, status: response.status, body: response.body ?? "" }]
    : [],
);

/** The verdict's code. */
function meaning(status: number, body: string): string {
  const verdict = readUpstreamError(status, Buffer.from(body), 9101);
  return verdict.kind === "loading" ? "loading" : verdict.refusal.code;
}

function errorText(error: object): string {
  return JSON.stringify({ error });
}

describe("a recorded error means", () => {
  it.each(Object.entries(MEANINGS))("%s: %s", (name, expected) => {
    const found = recorded.find((transcript) => transcript.name === name);
    expect(found && meaning(found.status, found.body)).toBe(expected);
  });

  it("a known verdict: every recording is in this table", () => {
    const known = [...Object.keys(MEANINGS), "error-route"].sort();
    expect(recorded.map(({ name }) => name).sort()).toEqual(known);
  });

  it("error-route: a route that this build of llama-server lacks, not a field to leave out", () => {
    const found = recorded.find(({ name }) => name === "error-route");
    expect(found && meaning(found.status, found.body)).not.toBe("invalid_request");
  });
});

describe("an unrecorded error", () => {
  it.each([
    [500, "", "upstream_failed"],
    [500, "<html>", "upstream_failed"],
    [502, "null", "upstream_failed"],
    [400, "[1]", "invalid_request"],
    [400, '{"error":"text"}', "invalid_request"],
    [403, "{}", "upstream_failed"],
    [302, "", "upstream_failed"],
    [204, "", "upstream_failed"],
    [503, "not JSON", "loading"],
  ])("with status %i and body %j still has a code", (status, body, expected) => {
    expect(meaning(status, body)).toBe(expected);
  });

  it("for a prompt that is too long contains both lengths if they are known", () => {
    const read = (more: object): unknown =>
      readUpstreamError(400, Buffer.from(errorText({ type: "exceed_context_size_error", ...more })), 9101);
    expect(read({ n_prompt_tokens: 1518, n_ctx: 1024 })).toMatchObject({
      refusal: {
        message: "The prompt of 1518 tokens does not fit the model's context of 1024 tokens. Shorten it.",
      },
    });
    expect(read({})).toMatchObject({
      refusal: { message: "The prompt does not fit the model's context. Shorten it." },
    });
  });
});

describe("an upstream's own text", () => {
  const MARKER = "Chest-Pain since Monday";
  const bodies = [
    errorText({ code: 400, message: MARKER, type: "invalid_request_error" }),
    errorText({ message: MARKER, type: MARKER, param: MARKER }),
    errorText({ type: "exceed_context_size_error", message: MARKER, n_prompt_tokens: 3, n_ctx: 2 }),
    errorText({ type: "exceed_context_size_error", n_prompt_tokens: MARKER, n_ctx: MARKER }),
    JSON.stringify({ error: MARKER }),
    JSON.stringify({ [MARKER]: { message: MARKER } }),
    MARKER,
  ];

  it.each([400, 401, 404, 413, 422, 500, 501, 502, 503])(
    "is in no part of a refusal (status %i)",
    (status) => {
      for (const body of bodies) {
        const verdict = JSON.stringify(readUpstreamError(status, Buffer.from(body), 9101));
        expect(verdict).not.toContain(MARKER);
        expect(verdict).not.toMatch(/chest|monday/i);
      }
    },
  );

  it("is not logged, except the error type, with port and status", () => {
    expect(
      readUpstreamError(400, Buffer.from(errorText({ type: "invalid_request_error" })), 9101),
    ).toMatchObject({ refusal: { internal: "port 9101 answered 400 invalid_request_error" } });
  });
});

describe("a request that llama-server refuses", () => {
  const read = (status: number, message: string, suspects: readonly string[] = []): unknown => {
    const type = status === 400 ? "invalid_request_error" : "server_error";
    const body = Buffer.from(JSON.stringify({ error: { code: status, message, type } }));
    const verdict = readUpstreamError(status, body, 9101, suspects);
    if (verdict.kind !== "refused") return verdict;
    expect(JSON.stringify(verdict)).not.toMatch(/marker/i);
    return [verdict.refusal.code, verdict.refusal.param];
  };

  // The messages are those of a real server; what follows them can be the client's words.
  it.each([
    [400, "Failed to initialize samplers: failed to parse grammar", "grammar"],
    [
      500,
      'Failed to parse tools: Expected \'tools\' to be an array, got "Marker"; tools = "Marker"',
      "tools",
    ],
    [400, "Invalid tool_choice: Marker", "tool_choice"],
    [400, "Cannot use custom grammar constraints with tools.", "grammar"],
    [400, "Field 'json_schema': \"json_schema\": JSON schema conversion failed:\nMarker", "json_schema"],
    [400, 'response_format type must be one of "text" or "json_object", but got: marker', "response_format"],
    [400, "Field 'n': Value must be between 1 <= value <= 4, but got 9", "n"],
  ])("gets a 400 that names the field: %i %s", (status, message, field) => {
    expect(read(status, message)).toEqual(["invalid_request", field]);
    expect(read(status, message, ["response_format", "tools"])).toEqual(["invalid_request", field]);
  });

  const SCHEMA =
    "Unable to generate parser for this template. Automatic parser generation failed: JSON schema error at #: Marker";

  it("gets a 400 with the edge's suspects if the message names none", () => {
    expect(read(400, SCHEMA, ["response_format"])).toEqual(["invalid_request", "response_format"]);
    expect(read(400, SCHEMA, ["response_format", "tools"])).toEqual(["invalid_request", undefined]);
    expect(read(400, SCHEMA)).toEqual(["invalid_request", undefined]);
    const body = Buffer.from(JSON.stringify({ error: { message: SCHEMA } }));
    expect(JSON.stringify(readUpstreamError(400, body, 9101, ["response_format", "tools"]))).toContain(
      "most likely its `response_format` or `tools`",
    );
  });

  it("for another reason is the server's failure, whatever the suspects and the words in its message", () => {
    expect(read(500, "marker: Failed to parse tools:", ["tools"])).toEqual(["upstream_failed", undefined]);
    expect(read(500, "Field 'Marker words':", ["tools"])).toEqual(["upstream_failed", undefined]);
  });
});
