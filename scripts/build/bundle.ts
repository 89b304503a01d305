// Bundles a page's script and style with esbuild, under names that contain the hash of their content, and installs files
// into the Worker's static assets.
import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, rename, rm, writeFile, mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { ROOT } from "../paths.ts";

/** Browsers since 2024, which have `light-dark()` and `AbortSignal.any`. */
const TARGET = "es2023,chrome123,firefox124,safari17.5";

export interface PageFolder {
  /** The folder's path in URLs: `/console`. */
  readonly url: string;
  readonly into: string;
  readonly script: string;
  readonly style: string;
  /** The other files, by name; `{{script}}` and `{{style}}` stand for the URLs of the bundles. */
  readonly pages: Readonly<Record<string, string>>;
}

/**
 * Builds a folder of assets. Two builds at the same time, as in two test runs, leave a complete folder: pages are written
 * after the files that they refer to.
 * @returns the names of the files, the pages last
 */
export async function buildFolder({ url, into, script, style, pages }: PageFolder): Promise<string[]> {
  await mkdir(into, { recursive: true });
  await mkdir(join(ROOT, "dist"), { recursive: true });
  const folder = await mkdtemp(join(ROOT, "dist", ".build-"));
  try {
    await bundle({ app: script, style }, folder);
    const built = (await readdir(folder)).filter((name) => /^(app|style)-/.test(name));
    for (const [name, text] of Object.entries(pages))
      await writeFile(join(folder, name), pageText(text, url, built));
    const names = [...built, ...Object.keys(pages)];
    for (const name of names) await install(join(folder, name), join(into, name));
    const stale = (await readdir(into)).filter((name) => !names.includes(name));
    await Promise.all(stale.map((name) => rm(join(into, name), { force: true })));
    return names;
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

async function bundle(entries: Readonly<Record<string, string>>, folder: string) {
  const esbuild = join(ROOT, "node_modules", "esbuild", "bin", "esbuild");
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
  const files = Object.entries(entries).map(([name, file]) => `${name}=${file}`);
  await promisify(execFile)(esbuild, [...files, ...flags], { cwd: ROOT });
}

function pageText(template: string, url: string, built: readonly string[]) {
  return template.replaceAll(/\{\{(script|style)\}\}/g, (_match, kind: string) => {
    const start = kind === "script" ? "app-" : "style-";
    const name = built.find((file) => file.startsWith(start));
    if (name === undefined) throw new Error(`esbuild built no file that starts with ${start}`);
    return `${url}/${name}`;
  });
}
