// Two projects: what runs on Node (pure cores, the simulators, the origin agent, end to end) and what
// runs inside workerd (the edge and its Durable Objects). Neither mocks the other's runtime.
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { buildConsole } from "./scripts/build-console.mjs";

// wrangler.toml names the folder, which must be there wherever it is read.
await buildConsole();

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "node",
          include: ["test/**/*.test.ts"],
          exclude: ["test/worker/**", "test/e2e/**"],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        plugins: [cloudflareTest({ wrangler: { configPath: "./wrangler.toml" } })],
        // A worker a file would cost a second each; keys and addresses are new at every use, so files share one.
        test: { name: "worker", include: ["test/worker/**/*.test.ts"], testTimeout: 30_000, isolate: false },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
