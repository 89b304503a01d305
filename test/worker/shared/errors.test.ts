// The table of errors as clients read it: what each says of asking again.
import { describe, expect, it } from "vitest";
import { ERRORS, errorBody, errorEvent, retryHeaders, type ErrorCode } from "../../../shared/errors.ts";

const BOUNDS = { minS: 1, maxS: 120 };
const codes = Object.keys(ERRORS) as ErrorCode[];

describe("the error table", () => {
  it("holds the codes and statuses that the design names, and no others", () => {
    const byStatus: Record<number, string> = {
      400: "invalid_json invalid_request unknown_port context_length_exceeded",
      401: "missing_key invalid_key expired_key",
      403: "agent_not_allowed scope_missing",
      404: "not_found model_not_found",
      405: "method_not_allowed",
      408: "request_timeout",
      413: "body_too_large",
      415: "unsupported_media_type",
      429: "rate_limited_ip rate_limited_key too_many_failed_keys concurrency_exceeded quota_exceeded",
      500: "internal",
      501: "not_supported_by_model",
      502: "upstream_failed box_unreachable",
      503: "overloaded model_loading model_unavailable draining no_box limiter_unavailable",
      504: "upstream_timeout deadline_exceeded",
    };
    const told = Object.entries(byStatus).flatMap(([status, names]) =>
      names.split(" ").map((name) => [name, Number(status)]),
    );
    expect(Object.fromEntries(codes.map((code) => [code, ERRORS[code].status]))).toEqual(
      Object.fromEntries(told),
    );
  });

  it.each([
    "quota_exceeded",
    "agent_not_allowed",
    "invalid_request",
    "missing_key",
    "not_supported_by_model",
  ] as const)("%s tells clients not to ask again", (code) => {
    expect(retryHeaders({ code, message: "", retryAfterMs: 5 }, BOUNDS)).toEqual({
      "x-should-retry": "false",
    });
  });

  it.each(codes.filter((code) => ERRORS[code].retry !== "never"))("%s never forbids asking again", (code) => {
    expect(retryHeaders({ code, message: "" }, BOUNDS)).not.toHaveProperty("x-should-retry");
  });

  it.each([
    [1, "1", "1"],
    [340, "1", "340"],
    [1_000, "1", "1000"],
    [1_001, "2", "1001"],
    [2_500.2, "3", "2501"],
    [0, "1", "1"],
    [-50, "1", "1"],
    [999_999, "120", "120000"],
  ])("a wait of %d ms is told as %s s and %s ms", (retryAfterMs, seconds, ms) => {
    expect(retryHeaders({ code: "overloaded", message: "", retryAfterMs }, BOUNDS)).toEqual({
      "retry-after": seconds,
      "retry-after-ms": ms,
    });
  });
});

describe("an error's body", () => {
  const refusal = {
    code: "invalid_request",
    message: "say why",
    param: "n",
    internal: "for the log alone",
  } as const;

  it("has the public sentence and never the internal one", () => {
    expect(errorBody(refusal, "req_1")).toEqual({
      error: {
        message: "say why",
        type: "invalid_request_error",
        code: "invalid_request",
        param: "n",
        request_id: "req_1",
      },
    });
  });

  it("names no field where none was wrong", () => {
    expect(errorBody({ code: "not_found", message: "x" }, "req_1").error.param).toBeNull();
  });

  it("as a stream's last event is one event, in one line, without a [DONE]", () => {
    const event = errorEvent({ ...refusal, message: "two\nlines" }, "req_1");
    expect(event).toMatch(/^data: \{.*\}\n\n$/);
    expect(event).not.toContain("[DONE]");
    expect(JSON.parse(event.slice(6))).toMatchObject({
      error: { message: "two\nlines", request_id: "req_1" },
    });
  });
});
