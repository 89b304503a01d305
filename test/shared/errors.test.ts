import { describe, expect, it } from "vitest";
import {
  ERRORS,
  anthropicErrorBody,
  errorBody,
  errorEvent,
  faultOf,
  ok,
  refuse,
  RefusedError,
  thrownName,
  type ErrorCode,
} from "../../shared/errors.ts";
import { retryHeaders } from "../../shared/retry-headers.ts";

/** As in design section 3: clients rely on these, so a change here changes the API. */
const TABLE: Readonly<Record<number, string>> = {
  400: "invalid_json invalid_request unknown_port context_length_exceeded not_supported_by_model",
  401: "missing_key invalid_key expired_key",
  403: "agent_not_allowed scope_missing https_required",
  404: "not_found model_not_found",
  405: "method_not_allowed",
  408: "request_timeout",
  413: "body_too_large",
  415: "unsupported_media_type",
  429: "rate_limited_ip rate_limited_key too_many_failed_keys concurrency_exceeded quota_exceeded",
  500: "internal",
  502: "upstream_failed box_unreachable",
  503: "overloaded model_loading model_unavailable draining no_box limiter_unavailable",
  504: "upstream_timeout deadline_exceeded",
};

const CODES = Object.keys(ERRORS) as ErrorCode[];

describe("the table of errors", () => {
  it("has exactly the published codes and statuses", () => {
    const expected = Object.entries(TABLE).flatMap(([status, codes]) =>
      codes.split(" ").map((code) => [code, Number(status)]),
    );
    const actual = Object.entries(ERRORS).map(([code, row]) => [code, row.status]);
    expect(Object.fromEntries(actual)).toEqual(Object.fromEntries(expected));
  });

  it("never suggests a retry of a faulty request", () => {
    // 408 is an exception: nothing was started, and the network may be faster the next time.
    const faulty = CODES.filter(
      (code) => ERRORS[code].status < 500 && ![408, 429].includes(ERRORS[code].status),
    );
    expect(faulty.filter((code) => ERRORS[code].retry !== "never")).toEqual([]);
  });

  it("suggests a later retry of every refusal for load, except a used-up month", () => {
    const load = CODES.filter((code) => [429, 503].includes(ERRORS[code].status));
    expect(load.filter((code) => ERRORS[code].retry !== "later")).toEqual(["quota_exceeded"]);
  });
});

describe("the fault of a code", () => {
  it("is the caller's below 500", () => {
    const callers = CODES.filter((code) => ERRORS[code].status < 500);
    expect(CODES.filter((code) => faultOf(code) === "caller")).toEqual(callers);
  });

  it("is ours for a code of another release", () => {
    for (const code of ["a_future_code", "constructor", "__proto__"]) expect(faultOf(code)).toBe("ours");
  });
});

describe("an error's body", () => {
  it("has message, type, code, param and request id, and nothing else", () => {
    const refusal = {
      code: "invalid_request",
      message: "No.",
      param: "messages[0]",
      internal: "port 1",
    } as const;
    expect(errorBody(refusal, "req-1")).toEqual({
      error: {
        message: "No.",
        type: "invalid_request_error",
        code: "invalid_request",
        param: "messages[0]",
        request_id: "req-1",
      },
    });
  });

  it("has param null if no field was wrong", () => {
    expect(errorBody({ code: "no_box", message: "No." }, "req-1").error.param).toBeNull();
  });

  it.each(CODES)("of %s never has the internal text", (code) => {
    const text = JSON.stringify(errorBody({ code, message: "m", internal: "only-for-the-log" }, "r"));
    expect(text).not.toContain("only-for-the-log");
  });

  it("as an event is one data line and a blank line, without [DONE]", () => {
    const event = errorEvent({ code: "upstream_failed", message: "Two\nlines." }, "req-1", "openai");
    expect(event).toMatch(/^data: [^\n]+\n\n$/);
    expect(JSON.parse(event.slice(6))).toEqual(
      errorBody({ code: "upstream_failed", message: "Two\nlines." }, "req-1"),
    );
    expect(event).not.toContain("[DONE]");
  });
});

describe("an error for Anthropic's clients", () => {
  it("has the type that their SDKs know, the message and the request id", () => {
    expect(anthropicErrorBody({ code: "box_unreachable", message: "No." }, "req-1")).toEqual({
      type: "error",
      error: { type: "api_error", message: "No." },
      request_id: "req-1",
    });
    const typeOf = (code: ErrorCode) => anthropicErrorBody({ code, message: "m" }, "r").error.type;
    expect(typeOf("body_too_large")).toBe("request_too_large");
    expect(typeOf("overloaded")).toBe("overloaded_error");
    expect(typeOf("rate_limited_key")).toBe("rate_limit_error");
  });

  it("is an event named error in a stream", () => {
    const event = errorEvent({ code: "overloaded", message: "m" }, "r", "anthropic");
    const body = JSON.stringify(anthropicErrorBody({ code: "overloaded", message: "m" }, "r"));
    expect(event).toBe(`event: error\ndata: ${body}\n\n`);
  });
});

describe("an error in a stream of the Responses API", () => {
  it("is its typed event, with the member on which OpenAI's SDKs throw", () => {
    const refusal = { code: "upstream_failed", message: "m" } as const;
    const event = errorEvent(refusal, "r", "responses");
    expect(event).toMatch(/^event: error\ndata: [^\n]+\n\n$/);
    expect(JSON.parse(event.slice(event.indexOf("{")))).toEqual({
      type: "error",
      code: "upstream_failed",
      message: "m",
      param: null,
      ...errorBody(refusal, "r"),
    });
  });
});

describe("the retry headers", () => {
  it("state the time in seconds and in milliseconds", () => {
    expect(retryHeaders({ code: "overloaded", message: "", retryAfterMs: 5000 }, 0)).toEqual({
      "retry-after": "5",
      "retry-after-ms": "5000",
    });
  });

  it.each([
    [0.2, "1", "1"],
    [0, "1", "1"],
    [-5, "1", "1"],
    [340, "1", "340"],
    [999.5, "1", "1000"],
    [1000, "1", "1000"],
    [1001, "2", "1001"],
    [2_500.2, "3", "2501"],
    [120_000, "120", "120000", 1],
    [120_001, "120", "120000", 1],
    [1e12, "120", "120000", 1],
  ])("stay between 1 and 120 seconds, rounded up: %d ms", (retryAfterMs, seconds, ms, random = 0) => {
    expect(retryHeaders({ code: "model_loading", message: "", retryAfterMs }, random)).toEqual({
      "retry-after": seconds,
      "retry-after-ms": ms,
    });
  });

  it.each(CODES.filter((code) => ERRORS[code].retry === "never"))(
    "prevent a retry if none can help: %s",
    (code) => {
      expect(retryHeaders({ code, message: "", retryAfterMs: 1000 }, 0)).toEqual({
        "x-should-retry": "false",
      });
    },
  );

  it.each(CODES.filter((code) => ERRORS[code].retry !== "never"))(
    "are absent if the time is unknown: %s",
    (code) => {
      expect(retryHeaders({ code, message: "" }, 0)).toEqual({});
    },
  );
});

describe("a refusal", () => {
  it("is a value, like a success", () => {
    expect(ok(3)).toEqual({ ok: true, value: 3 });
    expect(refuse("no_box", "No box.", { retryAfterMs: 5 })).toEqual({
      ok: false,
      refusal: { code: "no_box", message: "No box.", retryAfterMs: 5 },
    });
  });

  it("that is thrown has its code as its message, so that no log gets its text", () => {
    const error = new RefusedError({ code: "no_box", message: "a sentence" });
    expect(error.message).toBe("no_box");
    expect(error.refusal.message).toBe("a sentence");
  });
});

it("the name of a thrown value is an error's class, never its message", () => {
  class PatientError extends TypeError {
    override readonly name = "PatientError";
  }
  expect(thrownName(new RangeError("chest pain"))).toBe("RangeError");
  expect(thrownName(new PatientError("chest pain"))).toBe("PatientError");
  for (const thrown of ["chest pain", { name: "chest pain" }, null, undefined, 7])
    expect(thrownName(thrown)).toBe("thrown");
});
