// Links of the console: every route has one, and any text after the `#` is read without a fault.
import { describe, expect, it, vi } from "vitest";

vi.stubGlobal("location", { hash: "" });
const { readRoute, routeLink } = await import("../../../console/state/route.ts");

describe("a link", () => {
  it.each([
    ["#keys", { view: "keys", item: "", query: {} }],
    ["#overview/req_1?code=overloaded", { view: "overview", item: "req_1", query: { code: "overloaded" } }],
    [
      "#overview/a%2Fb%20c%3Fd?agent=A%26B%2BC+D",
      { view: "overview", item: "a/b c?d", query: { agent: "A&B+C D" } },
    ],
  ])("%s is read and made again", (link, route) => {
    expect(readRoute(link)).toEqual(route);
    expect(readRoute(routeLink(readRoute(link)))).toEqual(route);
  });

  it("leaves out choices that are empty", () => {
    expect(routeLink({ view: "usage", query: { by: "", from: "2026-11" } })).toBe("#usage?from=2026-11");
  });

  it.each(["", "#", "#nothing", "#toString", "#__proto__", "#/", "#%", "#?x", `#${"x".repeat(1e6)}`])(
    "that isn't one opens the overview: %.20s",
    (hash) => {
      expect(readRoute(hash)).toMatchObject({ view: "overview" });
    },
  );

  it("with a broken escape opens no item", () => {
    expect(readRoute("#keys/%E0%A4%A")).toEqual({ view: "keys", item: "", query: {} });
  });
});
