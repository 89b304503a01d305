import { describe, expect, it } from "vitest";
import { isKeyRefused, refusal, signInText } from "../../../console/model/problem.ts";
import { errorBody, type ErrorCode } from "../../../shared/errors.ts";

describe("a refused sign-in", () => {
  const problem = (code: ErrorCode) =>
    refusal(401, new Headers(), errorBody({ code, message: "m" }, "req_1"));

  it.each<[ErrorCode, string]>([
    ["invalid_key", "doesn't know this key"],
    ["expired_key", "has expired"],
    ["scope_missing", "lacks the scope “admin”"],
    ["too_many_failed_keys", "Wait a minute"],
  ])("%s is explained", (code, text) => {
    expect(signInText(problem(code))).toContain(text);
    expect(isKeyRefused(problem(code))).toBe(code !== "too_many_failed_keys");
  });

  it("with an answer that isn't the edge's quotes none of it", () => {
    const strange = refusal(502, new Headers({ "x-request-id": "req_2" }), "<html>bad gateway</html>");
    expect(strange).toMatchObject({ code: "status 502", requestId: "req_2" });
    expect(strange.message).not.toContain("html");
  });
});
