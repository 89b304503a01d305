// Holds down the start-up time of every `isha` command: packages that few commands need are loaded by those alone.
import { dirname, join } from "node:path/posix";
import { expect, it } from "vitest";
import { importsOf, readSource } from "../support/source-text.ts";

/** The packages that are loaded with a file, and the files that load them. Follows no `import()`. */
function packagesWith(start: string): ReadonlyMap<string, string> {
  const packages = new Map<string, string>();
  const files = new Set([start]);
  for (const file of files) {
    const text = readSource(file);
    for (const { specifier, typeOnly } of importsOf(text)) {
      if (typeOnly || text.includes(`import("${specifier}")`)) continue;
      if (specifier.startsWith(".")) files.add(join(dirname(file), specifier));
      else packages.set(specifier, file);
    }
    // origin-agent/probes/undici-parts.ts loads it in parts.
    if (text.includes('load("undici/')) packages.set("undici", file);
  }
  return packages;
}

it("isha loads neither yaml nor undici nor wrangler before a command needs it", () => {
  const packages = packagesWith("cli/main.ts");
  expect(packages.has("commander")).toBe(true);
  for (const name of ["yaml", "undici", "wrangler"]) expect(packages.get(name), name).toBeUndefined();
  // The walk finds them where they are loaded.
  expect(packagesWith("cli/init/llama-swap.ts").has("yaml")).toBe(true);
  expect(packagesWith("origin-agent/probes/llama.ts").has("undici")).toBe(true);
});
