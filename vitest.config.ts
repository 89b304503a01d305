// The test projects: on Node (pure cores, the simulators, the origin agent), inside workerd (the edge and its Durable
// Objects), the console's pages in Chromium, and end to end. None mocks another's runtime.
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import fleet from "./fleet.config.ts";
import { buildAssets } from "./scripts/build.ts";

// wrangler.toml names the folder, which must be there wherever it is read.
await buildAssets(fleet);

/** The pages in Chromium, whose own processes keep a core busy for each file. */
const PAGES = "test/console/**/*.page.test.ts";

/** No test is slow by this measure on any machine: it only ends one that hangs. */
const TEST_MS = 300_000;

export default defineConfig({
  test: {
    // A slow machine ends vitest's own processes slowly. The runner ends one that hangs.
    teardownTimeout: 120_000,
    projects: [
      {
        test: {
          name: "node",
          include: ["test/**/*.test.ts"],
          exclude: ["test/worker/**", "test/e2e/**", PAGES],
          testTimeout: TEST_MS,
          hookTimeout: TEST_MS,
          // Many wait for programs of theirs.
          maxWorkers: 4,
        },
      },
      {
        plugins: [cloudflareTest({ wrangler: { configPath: "./wrangler.toml" } })],
        // A worker a file would cost a second each; keys and addresses are new at every use, so files share one.
        test: {
          name: "worker",
          include: ["test/worker/**/*.test.ts"],
          testTimeout: TEST_MS,
          isolate: false,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "pages",
          include: [PAGES],
          globalSetup: "./test/console/support/browser-setup.ts",
          testTimeout: TEST_MS,
          hookTimeout: TEST_MS,
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
      {
        // Most of their time they wait for what must take its time: four at once keep two cores busy.
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: TEST_MS,
          hookTimeout: TEST_MS,
          maxWorkers: 4,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
