import { describe, expect, it } from "vitest";
import { workerdConfig } from "../../bench/workerd-config.ts";

describe("workerd's configuration", () => {
  const settings = {
    compatibility_date: "2026-10-01",
    compatibility_flags: ["enable_request_signal"],
    vars: { DEV_KEYS: "", OTHER: "as it is" },
    durable_objects: { bindings: [{ name: "API_KEY", class_name: "ApiKey" }] },
    ratelimits: [{ name: "SHIELD" }],
  };

  it("binds what wrangler.toml binds, with the bench's variables in place of its own", () => {
    const text = workerdConfig(
      settings,
      ["index.js"],
      { DEV_KEYS: "1", SECRET: 'a "quoted" \\ word' },
      "/tmp/objects",
    );
    for (const part of [
      '(name = "index.js", esModule = embed "index.js")',
      '(name = "DEV_KEYS", text = "1")',
      '(name = "OTHER", text = "as it is")',
      String.raw`(name = "SECRET", text = "a \"quoted\" \\ word")`,
      '(name = "API_KEY", durableObjectNamespace = "ApiKey")',
      '(className = "ApiKey", uniqueKey = "ApiKey", enableSql = true)',
      '(name = "SHIELD", wrapped = (',
      'disk = (path = "/tmp/objects", writable = true)',
      'compatibilityFlags = ["enable_request_signal"]',
    ]) {
      expect(text).toContain(part);
    }
    expect(text).not.toContain('text = "")');
  });
});
