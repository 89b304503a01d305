import { describe, expect, it } from "vitest";
import shipped from "../../../fleet.config.ts";
import { ERRORS } from "../../../shared/errors.ts";
import type { FleetConfig } from "../../../shared/fleet.ts";
import { edgeOf } from "../support/edge.ts";
import { box, fleetOf, server } from "../support/fleets.ts";

async function page(fleet: FleetConfig): Promise<{ text: string; headers: Headers }> {
  const answer = await edgeOf(fleet)("/docs", { key: null });
  expect(answer.status).toBe(200);
  return { text: await answer.text(), headers: answer.headers };
}

describe("/docs", () => {
  it.each([
    ["the shipped fleet", shipped],
    ["another fleet", fleetOf()],
  ])("has every agent type, model and port of %s", async (_, fleet) => {
    const { text, headers } = await page(fleet);
    expect(headers.get("content-type")).toMatch(/^text\/html; charset=utf-8/i);
    for (const { agents, model, port } of fleet.boxes.flatMap(({ servers }) => servers))
      for (const name of [...agents, model, String(port)]) expect(text).toContain(name);
    expect(text).toContain(fleet.domain);
  });

  it("has nothing of the shipped fleet if another one is deployed", async () => {
    const { text } = await page(fleetOf());
    for (const name of ["isha.buzz", "8080", "8085", "Clinical", "Qwen"]) expect(text).not.toContain(name);
  });

  it("lists every error code with its status", async () => {
    const { text } = await page(shipped);
    for (const [code, { status }] of Object.entries(ERRORS))
      expect(text).toMatch(new RegExp(`<td>${status}</td>\\s*<td><code>${code}</code></td>`));
  });

  it("has the fleet's limits", async () => {
    const { text } = await page(fleetOf({ limits: { perAddressPerSecond: 123, perKeyPerSecond: 4_567 } }));
    expect(text).toContain("123");
    expect(text).toContain("4567");
  });

  it("allows only its own style in its policy, by its hash", async () => {
    const { text, headers } = await page(shipped);
    const styles = [...text.matchAll(/<style>([\s\S]*?)<\/style>/g)].map(([, style]) => style ?? "");
    expect(styles.length).toBe(1);
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(styles[0]));
    const hash = btoa(String.fromCharCode(...new Uint8Array(digest)));
    const policy = headers.get("content-security-policy");
    expect(policy).toContain(`style-src 'sha256-${hash}'`);
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain("unsafe");
  });

  it("needs nothing that its policy blocks", async () => {
    const { text } = await page(shipped);
    expect(text).not.toMatch(/<script|<img|<link|<iframe|<form|\sstyle=|\son\w+=|src=/i);
  });

  it("shows values of the fleet file as text", async () => {
    const { text } = await page(
      fleetOf({ boxes: [box("north", [server(9000, { bestFor: "<b>a & b</b>" })])] }),
    );
    expect(text).toContain("&lt;b&gt;a &amp; b&lt;/b&gt;");
    expect(text).not.toContain("<b>a");
  });
});

describe("/", () => {
  it("redirects to /docs", async () => {
    const answer = await edgeOf(fleetOf())("/", { key: null });
    expect(answer.status).toBe(302);
    expect(answer.headers.get("location")).toBe("/docs");
  });
});
