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

/** The name of a bundle, as `bundle` sets it. */
const BUNDLE = String.raw`(?:app|style)-[A-Z0-9]+\.(?:js|css)`;
const isBundle = (name: string) => new RegExp(`^${BUNDLE}$`).test(name);

/**
 * Builds a folder of assets. Two builds at the same time, as in two test runs, leave a complete folder: pages are written
 * after the files that they refer to. The bundles of the build before stay: a browser may have received its page, and not
 * yet its script.
 * @returns the names of the files, the pages last
 */
export async function buildFolder({ url, into, script, style, pages }: PageFolder): Promise<string[]> {
  await mkdir(into, { recursive: true });
  await mkdir(join(ROOT, "dist"), { recursive: true });
  const before = await readdir(into);
  const served = await bundlesOfPages(into, before);
  const folder = await mkdtemp(join(ROOT, "dist", ".build-"));
  try {
    await bundle({ app: script, style }, folder);
    const built = (await readdir(folder)).filter(isBundle);
    for (const [name, text] of Object.entries(pages))
      await writeFile(join(folder, name), pageText(text, url, built));
    const names = [...built, ...Object.keys(pages)];
    for (const name of names) await install(join(folder, name), join(into, name));
    // A build that changes no bundle would otherwise remove those of the build before.
    const kept = built.every((name) => served.includes(name)) ? before.filter(isBundle) : served;
    const stale = before.filter((name) => !names.includes(name) && !kept.includes(name));
    await Promise.all(stale.map((name) => rm(join(into, name), { force: true })));
    return names;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The bundles that the folder's pages name. */
async function bundlesOfPages(folder: string, names: readonly string[]) {
  const pages = names.filter((name) => name.endsWith(".html"));
  const texts = await Promise.all(pages.map((name) => readFile(join(folder, name), "utf8").catch(() => "")));
  return texts.flatMap((text) => text.match(new RegExp(BUNDLE, "g")) ?? []);
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
