// Checks that wrangler can bundle the Worker as it would be uploaded, and the bundle's compressed size.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { fine, unknown, wrong, type Outcome } from "../doctor/check.ts";
import type { Project } from "./project.ts";
import { OFFLINE, runWrangler, wranglerError } from "./wrangler.ts";

/** Gzipped, without the assets: a larger one starts later in each new isolate. */
const MAX_BUNDLE_BYTES = 80_000;

export async function checkBundle(
  { root, machine, environments }: Project,
  signal: AbortSignal,
): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), "isha-check-"));
  try {
    const env = environments.has("production") ? "production" : "";
    const args = ["deploy", "--dry-run", "--outdir", folder, `--env=${env}`];
    const ran = await runWrangler(args, { root, env: { ...machine.env, ...OFFLINE }, signal });
    if (ran === null)
      return unknown("there is no wrangler on the PATH", "npm ci, then npm run isha -- check");
    if (ran.code !== 0) {
      return wrong(
        `wrangler can't bundle the Worker: ${wranglerError(ran.out)}`,
        `npx wrangler deploy --dry-run --env=${env}`,
      );
    }
    const bytes = await bundleBytes(folder);
    const size = `${(bytes / 1000).toFixed(1)} KB gzipped, of ${MAX_BUNDLE_BYTES / 1000}`;
    return bytes <= MAX_BUNDLE_BYTES
      ? fine(`wrangler bundles the Worker: ${size}`)
      : wrong(
          `the Worker's bundle is too large: ${size}`,
          "Find what was added: npx wrangler deploy --dry-run --metafile",
        );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function bundleBytes(folder: string): Promise<number> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".js"));
  const files = await Promise.all(names.map((name) => readFile(join(folder, name))));
  return files.reduce((sum, file) => sum + gzipSync(file).length, 0);
}
