// Checks that wrangler can bundle the Worker as it would be uploaded, and the bundle's compressed size.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { fine, unknown, wrong, type Check, type Outcome } from "../doctor/check.ts";
import type { Project } from "./project.ts";
import { OFFLINE, runWrangler, wranglerError } from "./wrangler.ts";

/** Gzipped, without the assets: a larger one starts later in each new isolate. */
const MAX_BUNDLE_BYTES = 80_000;

/** Too large a bundle works all the same: `isha deploy` doesn't stop for it. */
export const BUNDLE_SIZE = "bundle-size";

/** Null if there is no wrangler. */
type Bundled = { readonly bytes: number } | { readonly fault: string } | null;

/** Both checks share one run of wrangler. */
export function bundleChecks(project: Project): Check[] {
  let running: Promise<Bundled> | null = null;
  const bundled = (signal: AbortSignal): Promise<Bundled> => (running ??= bundle(project, signal));
  const env = environmentOf(project);
  return [
    { name: "bundle", run: async (_, signal) => bundleOutcome(await bundled(signal), env) },
    { name: BUNDLE_SIZE, run: async (_, signal) => sizeOutcome(await bundled(signal)) },
  ];
}

function bundleOutcome(bundled: Bundled, env: string): Outcome {
  if (bundled === null)
    return unknown("there is no wrangler on the PATH", "npm ci, then npm run isha -- check");
  return "fault" in bundled
    ? wrong(
        `wrangler can't bundle the Worker: ${bundled.fault}`,
        `npx wrangler deploy --dry-run --env=${env}`,
      )
    : fine("wrangler bundles the Worker and its assets");
}

function sizeOutcome(bundled: Bundled): Outcome {
  if (bundled === null || "fault" in bundled) return unknown("there is no bundle", "See the check bundle.");
  const size = `${(bundled.bytes / 1000).toFixed(1)} KB gzipped, of ${MAX_BUNDLE_BYTES / 1000}`;
  return bundled.bytes <= MAX_BUNDLE_BYTES
    ? fine(`the Worker has ${size}`)
    : wrong(`the Worker has ${size}`, "Find what was added: npx wrangler deploy --dry-run --metafile");
}

const environmentOf = ({ environments }: Project): string =>
  environments.has("production") ? "production" : "";

async function bundle(project: Project, signal: AbortSignal): Promise<Bundled> {
  const { root, machine } = project;
  const folder = await mkdtemp(join(tmpdir(), "isha-check-"));
  try {
    const args = ["deploy", "--dry-run", "--outdir", folder, `--env=${environmentOf(project)}`];
    const ran = await runWrangler(args, { root, env: { ...machine.env, ...OFFLINE }, signal });
    if (ran === null) return null;
    return ran.code === 0 ? { bytes: await bundleBytes(folder) } : { fault: wranglerError(ran.out) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function bundleBytes(folder: string): Promise<number> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".js"));
  const files = await Promise.all(names.map((name) => readFile(join(folder, name))));
  return files.reduce((sum, file) => sum + gzipSync(file).length, 0);
}
