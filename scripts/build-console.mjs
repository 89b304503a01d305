// Builds the console into the Worker's static assets: `dist/assets/console/`. Two builds at once in one clone, as two
// test runs make them, leave a whole page: files carry their content's hash, and the page that names them comes last.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { ROOT } from "./paths.mjs";

/** What wrangler.toml names as the assets' directory. */
export const ASSETS = join(ROOT, "dist", "assets");
const CONSOLE = join(ASSETS, "console");

/** Browsers of 2024 and later: `light-dark()` and `AbortSignal.any` are as old. */
const TARGET = "es2023,chrome123,firefox124,safari17.5";

const ENTRIES = { app: "console/main.tsx", style: "console/styles/main.css" };

/** @returns {Promise<string[]>} the names of the files that were built, the page's last */
export async function buildConsole() {
  await mkdir(CONSOLE, { recursive: true });
  const folder = await mkdtemp(join(ROOT, "dist", ".console-"));
  try {
    await bundle(folder);
    const built = (await readdir(folder)).filter(
      (name) => name.startsWith("app-") || name.startsWith("style-"),
    );
    const page = pageText(await readFile(join(ROOT, "console", "index.html"), "utf8"), built);
    await writeFile(join(folder, "index.html"), page);
    for (const name of [...built, "index.html"]) await put(join(folder, name), join(CONSOLE, name));
    const kept = new Set([...built, "index.html"]);
    const stale = (await readdir(CONSOLE)).filter((name) => !kept.has(name));
    await Promise.all(stale.map((name) => rm(join(CONSOLE, name), { force: true })));
    return [...kept];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * What is there already stays untouched: whoever serves the folder, as each `wrangler dev` of this clone does, begins
 * anew when a file of it changes, and ends its connections.
 * @param {string} from
 * @param {string} to
 */
async function put(from, to) {
  const [made, known] = await Promise.all([readFile(from), readFile(to).catch(() => null)]);
  if (known === null || !made.equals(known)) await rename(from, to);
}

/** @param {string} folder */
async function bundle(folder) {
  const esbuild = join(ROOT, "node_modules", "esbuild", "bin", "esbuild");
  const entries = Object.entries(ENTRIES).map(([name, file]) => `${name}=${file}`);
  const flags = [
    "--bundle",
    "--minify",
    "--format=esm",
    `--target=${TARGET}`,
    "--entry-names=[name]-[hash]",
    `--outdir=${folder}`,
    // The page says what it is made of: each package's licence stands at the script's end.
    "--legal-comments=eof",
    "--log-level=warning",
  ];
  await promisify(execFile)(esbuild, [...entries, ...flags], { cwd: ROOT });
}

/**
 * @param {string} template
 * @param {readonly string[]} built
 */
function pageText(template, built) {
  return template.replace(/\{\{(script|style)\}\}/g, (_whole, /** @type {string} */ what) => {
    const start = what === "script" ? "app-" : "style-";
    const name = built.find((file) => file.startsWith(start));
    if (name === undefined) throw new Error(`esbuild built no file that begins with ${start}`);
    return `/console/${name}`;
  });
}

if (import.meta.main) {
  const names = await buildConsole();
  console.log(`Built ${names.join(", ")} into dist/assets/console.`);
}
