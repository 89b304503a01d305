import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { beforeAll, expect, it } from "vitest";
import { ASSETS, buildConsole } from "../../scripts/build.ts";
import { PAGE_HEADERS } from "../../worker/pages/page-headers.ts";

/** The design's limit for the gzipped script. */
const MAX_SCRIPT_BYTES = 150 * 1024;

const files = new Map<string, string>();
beforeAll(async () => {
  for (const name of await buildConsole())
    files.set(name, await readFile(join(ASSETS, "console", name), "utf8"));
});

const named = (start: string): string => [...files.keys()].find((name) => name.startsWith(start)) ?? "";

it("the script is at most 150 KB gzipped", () => {
  const bytes = gzipSync(files.get(named("app-")) ?? "", { level: 9 }).length;
  console.log(`console script: ${(bytes / 1024).toFixed(1)} KB gzipped`);
  expect(bytes).toBeGreaterThan(10_000);
  expect(bytes).toBeLessThanOrEqual(MAX_SCRIPT_BYTES);
});

it("the page contains no inline script or style, and refers to files by their content hash", () => {
  const page = files.get("index.html") ?? "";
  expect(page).toContain(`src="/console/${named("app-")}"`);
  expect(page).toContain(`href="/console/${named("style-")}"`);
  expect(page).not.toMatch(/<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)/);
});

it("two builds at the same time give the same complete result", async () => {
  const [one, other] = await Promise.all([buildConsole(), buildConsole()]);
  expect(one.toSorted()).toEqual(other.toSorted());
  expect(one.toSorted()).toEqual([...files.keys()].toSorted());
  for (const name of one) expect(await readFile(join(ASSETS, "console", name), "utf8")).toBe(files.get(name));
});

it("nothing is loaded from other hosts: the only addresses are those of licences and XML namespaces", () => {
  for (const [name, text] of files) {
    const hosts = new Set([...text.matchAll(/https?:\/\/([a-z0-9.-]+)/gi)].map(([, host]) => host));
    for (const known of ["www.w3.org", "json-schema.org", "github.com", "mozilla.org"]) hosts.delete(known);
    expect([name, ...hosts]).toEqual([name]);
  }
});

it("the policy allows only the page's own script and style, and requests to its own origin", () => {
  expect(PAGE_HEADERS["content-security-policy"]).toBe(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  );
});
