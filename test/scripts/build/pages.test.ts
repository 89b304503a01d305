// The guide and the reference as text: complete, about their fleet only, and safe.
import { describe, expect, it } from "vitest";
import shipped from "../../../fleet.config.ts";
import { openApiDocument } from "../../../scripts/build/openapi/document.ts";
import { guidePage } from "../../../scripts/build/pages/guide.ts";
import { referencePage } from "../../../scripts/build/pages/reference.ts";
import { ERRORS } from "../../../shared/errors.ts";
import type { FleetConfig } from "../../../shared/fleet.ts";
import second from "../../fixtures/second-fleet.ts";

const guide = (fleet: FleetConfig): string => guidePage(fleet, openApiDocument(fleet));
const reference = (fleet: FleetConfig): string => referencePage(openApiDocument(fleet));

/** What a reader reads, without tables and code. */
const words = (page: string): number =>
  page
    .replaceAll(/<(pre|table|nav|head)[\s\S]*?<\/\1>/g, " ")
    .replaceAll(/<[^>]+>/g, " ")
    .match(/[A-Za-z']+/g)?.length ?? 0;

describe("the guide", () => {
  it.each([
    ["the shipped fleet", shipped],
    ["another fleet", second],
  ])("has every agent type, model and port of %s", (_, fleet) => {
    const text = guide(fleet);
    for (const { agents, model, port } of fleet.boxes.flatMap(({ servers }) => servers))
      for (const name of [...agents, model, String(port)]) expect(text).toContain(name);
  });

  it("has nothing of the shipped fleet if another one is deployed", () => {
    for (const page of [guide(second), reference(second)])
      for (const name of ["isha.buzz", "8080", "8085", "Clinical", "Qwen"]) expect(page).not.toContain(name);
  });

  it("lists every error code with its status", () => {
    const text = guide(shipped);
    for (const [code, { status }] of Object.entries(ERRORS))
      expect(text).toMatch(
        new RegExp(`id="error-${code}">\\s*<td>${status}</td>\\s*<td><code>${code}</code></td>`),
      );
  });

  it("has the fleet's limits, and the date until which no key is needed", () => {
    const limits = { perAddressPerSecond: 123, perKeyPerSecond: 4_567 };
    const anonymous = { agents: null, until: "2027-03-31" };
    const text = guide({ ...shipped, limits, legacy: { keys: [], anonymous } });
    for (const part of ["4,567 requests per second", "an address 123", "accepted until 2027-03-31"])
      expect(text).toContain(part);
    expect(guide(shipped)).not.toContain("Calls without a key");
  });

  it("takes three minutes to read", () => {
    expect(words(guide(shipped))).toBeLessThan(3 * 250);
  });

  it("shows values of the fleet file as text", () => {
    const [first] = shipped.boxes;
    if (first === undefined) throw new Error("no box");
    const servers = first.servers.map((server) => ({ ...server, bestFor: "<b>a & b</b>" }));
    const text = guide({ ...shipped, boxes: [{ ...first, servers }] });
    expect(text).toContain("&lt;b&gt;a &amp; b&lt;/b&gt;");
    expect(text).not.toContain("<b>a");
  });
});

describe("guide and reference", () => {
  it.each([
    ["the guide", guide(shipped)],
    ["the reference", reference(shipped)],
  ])("%s links only to places that exist", (_, page) => {
    const targets = { "/docs": guide(shipped), "/docs/reference": reference(shipped) };
    for (const [, path = "", id = ""] of page.matchAll(/href="([^"#]*)#([^"]+)"/g)) {
      const target = path === "" ? page : targets[path as keyof typeof targets];
      expect([path, id, target.includes(`id="${id}"`)]).toEqual([path, id, true]);
    }
  });

  it("the reference has a form for every call and read, and none for what changes something", () => {
    const forms = [...reference(shipped).matchAll(/data-method="([A-Z]+)"\s+data-path="([^"]+)"/g)];
    for (const [, method, path = ""] of forms)
      expect(method === "GET" || !path.startsWith("/admin/")).toBe(true);
    expect(forms.map(([, , path]) => path)).toContain("/v1/chat/completions");
    expect(forms.map(([, , path]) => path)).toContain("/admin/usage");
  });
});
