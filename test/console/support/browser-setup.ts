// Starts the browser that all page tests of a run share.
import type { TestProject } from "vitest/node";
import { findChromium, serve } from "./chromium.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The address of the browser; null if there is none. */
    browser: string | null;
  }
}

export default async function setUp(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const executable = await findChromium();
  if (executable === null) {
    project.provide("browser", null);
    return undefined;
  }
  const browser = await serve(executable);
  project.provide("browser", browser.wsEndpoint());
  return () => browser.close();
}
