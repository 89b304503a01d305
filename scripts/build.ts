// Builds the console into the Worker's static assets, `dist/assets/console/`. Two builds at the same time, as in two test
// runs, leave a complete page: file names contain a content hash, and the page that refers to them is written last.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { ROOT } from "./paths.ts";

/** The assets' directory in wrangler.toml. */
export const ASSETS = join(ROOT, "dist", "assets");
const CONSOLE = join(ASSETS, "console");

/** Browsers since 2024, which have `light-dark()` and `AbortSignal.any`. */
const TARGET = "es2023,chrome123,firefox124,safari17.5";

const ENTRIES = { app: "console/main.tsx", style: "console/styles/main.css" };

/** @returns the names of the built files, the page last */
export async function buildConsole(): Promise<string[]> {
  await mkdir(CONSOLE, { recursive: true });
  const folder = await mkdtemp(join(ROOT, "dist", ".console-"));
  try {
    await bundle(folder);
    const built = (await readdir(folder)).filter(
      (name) => name.startsWith("app-") || name.startsWith("style-"),
    );
    const page = pageText(await readFile(join(ROOT, "console", "index.html"), "utf8"), built);
    await writeFile(join(folder, "index.html"), page);
    for (const name of [...built, "index.html"]) await install(join(folder, name), join(CONSOLE, name));
    const current = new Set([...built, "index.html"]);
    const stale = (await readdir(CONSOLE)).filter((name) => !current.has(name));
    await Promise.all(stale.map((name) => rm(join(CONSOLE, name), { force: true })));
    return [...current];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Moves a file unless it is there already with the same content: each `wrangler dev` that serves the folder restarts and
 * closes its connections when a file changes.
 */
async function install(from: string, to: string) {
  const [built, existing] = await Promise.all([readFile(from), readFile(to).catch(() => null)]);
  if (existing === null || !built.equals(existing)) await rename(from, to);
}

async function bundle(folder: string) {
  const esbuild = join(ROOT, "node_modules", "esbuild", "bin", "esbuild");
  const entries = Object.entries(ENTRIES).map(([name, file]) => `${name}=${file}`);
  const flags = [
    "--bundle",
    "--minify",
    "--format=esm",
    `--target=${TARGET}`,
    "--entry-names=[name]-[hash]",
    `--outdir=${folder}`,
    // The packages' licences are kept at the end of the script.
    "--legal-comments=eof",
    "--log-level=warning",
  ];
  await promisify(execFile)(esbuild, [...entries, ...flags], { cwd: ROOT });
}

function pageText(template: string, built: readonly string[]) {
  return template.replace(/\{\{(script|style)\}\}/g, (_match, kind: string) => {
    const start = kind === "script" ? "app-" : "style-";
    const name = built.find((file) => file.startsWith(start));
    if (name === undefined) throw new Error(`esbuild built no file that starts with ${start}`);
    return `/console/${name}`;
  });
}

if (import.meta.main) {
  const names = await buildConsole();
  console.log(`Built ${names.join(", ")} into dist/assets/console.`);
}
