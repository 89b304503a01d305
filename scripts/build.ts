// Builds the Worker's static assets: the console, the guide and the reference at /docs, and /openapi.json. The documents
// are generated from the fleet file, the error table and the schemas that validate requests, so that they are always correct.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { FleetConfig } from "../shared/fleet.ts";
import { buildFolder } from "./build/bundle.ts";
import { openApiDocument } from "./build/openapi/document.ts";
import { guidePage } from "./build/pages/guide.ts";
import { referencePage } from "./build/pages/reference.ts";
import { ROOT, SHIPPED_FLEET } from "./paths.ts";

/** The assets' directory in wrangler.toml. */
export const ASSETS = join(ROOT, "dist", "assets");

/** @param into the assets' directory; another fleet than the project's own needs its own */
export async function buildAssets(fleet: FleetConfig, into: string = ASSETS): Promise<void> {
  await Promise.all([buildConsole(into), buildDocs(fleet, into)]);
}

/** @returns the names of the built files, the page last */
export async function buildConsole(into: string = ASSETS): Promise<string[]> {
  return buildFolder({
    url: "/console",
    into: join(into, "console"),
    script: "console/main.tsx",
    style: "console/styles/main.css",
    pages: { "index.html": await readFile(join(ROOT, "console", "index.html"), "utf8") },
  });
}

/** @returns the names of the built files, the pages last */
export async function buildDocs(fleet: FleetConfig, into: string = ASSETS): Promise<string[]> {
  const document = openApiDocument(fleet);
  return buildFolder({
    url: "/docs",
    into: join(into, "docs"),
    script: "console/docs/main.ts",
    style: "console/docs/docs.css",
    pages: {
      "openapi.json": JSON.stringify(document),
      "reference.html": referencePage(document),
      "guide.html": guidePage(fleet, document),
    },
  });
}

// The stack has built them already, perhaps for another fleet file, before wrangler runs this.
if (import.meta.main && process.env["ISHA_ASSETS"] !== "built") {
  const { default: fleet } = (await import(SHIPPED_FLEET)) as { default: FleetConfig };
  await buildAssets(fleet);
  console.log("Built the console and the documents into dist/assets.");
}
