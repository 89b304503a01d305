// Brings node_modules in line with package-lock.json and runs the wanted script under the Node it holds.
// It loads nothing from node_modules, and must be right when two of it run in one clone at once.
"use strict";
const { spawn, spawnSync } = require("node:child_process");
const { createHash } = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const { takeLock } = require("./lock.cjs");

const ROOT = path.join(__dirname, "..", "..");

/** What can be run, and with which file. @type {Record<string, string>} */
const SCRIPTS = {
  start: "scripts/start.ts",
  test: "scripts/test.ts",
  check: "scripts/check.ts",
  format: "node_modules/oxfmt/bin/oxfmt",
  bench: "bench/main.ts",
  rehearse: "scripts/rehearse.ts",
};

/** Written last, inside what it isFresh for: an install that broke off has none. */
const STAMP = path.join("node_modules", ".isha-installed");
const STILL_INSTALLING_MS = 10_000;
const SHOWN_NPM_LINES = 40;
const SIGNALS = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]);

/** @param {string[]} argv what to run, then its arguments */
async function run([what = "", ...args]) {
  const script = Object.hasOwn(SCRIPTS, what) ? SCRIPTS[what] : undefined;
  if (script === undefined) {
    console.error(`There is no script "${what}"; there are: ${Object.keys(SCRIPTS).join(", ")}.`);
    process.exitCode = 1;
    return;
  }
  try {
    await ensureInstalled(ROOT);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
    return;
  }
  continueAs(projectNode(ROOT), [path.join(ROOT, script), ...args]);
}

/** The Node that package-lock.json names; the caller's own version may differ. @param {string} root */
function projectNode(root) {
  return path.join(root, "node_modules", "node", "bin", "node");
}

/** Runs the program in our place: same terminal, same signals, same exit code. @param {string} node @param {string[]} args */
function continueAs(node, args) {
  const bin = path.join(ROOT, "node_modules", ".bin");
  const child = spawn(node, args, {
    // No message is sent on the channel; its closing shows the child that we were killed.
    stdio: ["inherit", "inherit", "inherit", "ipc"],
    env: { ...process.env, PATH: [bin, process.env["PATH"]].filter(Boolean).join(path.delimiter) },
  });
  /** @param {NodeJS.Signals} signal */
  const pass = (signal) => child.kill(signal);
  for (const signal of SIGNALS) process.on(signal, pass);
  child.on("error", (error) => {
    console.error(`Node at ${node} can't be run: ${error.message}`);
    process.exitCode = 1;
  });
  child.on("exit", (code, signal) => {
    for (const name of SIGNALS) process.off(name, pass);
    // Dying of the same signal gives our caller the same exit code.
    if (signal !== null) process.kill(process.pid, signal);
    else process.exitCode = code ?? 1;
  });
}

/**
 * Installs unless node_modules is what package-lock.json says.
 * @param {string} root
 * @throws Error with a message for the user
 */
async function ensureInstalled(root) {
  if (isInstalled(root)) return;
  const release = await takeLock(path.join(root, ".wrangler", "install.lock"), () =>
    console.log("Another install is under way in this folder; waiting for it."),
  );
  try {
    // Another one may have installed while we waited.
    if (!isInstalled(root)) await install(root);
  } finally {
    release();
  }
}

/** @param {string} root */
function isInstalled(root) {
  if (!fs.existsSync(projectNode(root))) return false;
  const lockText = readOrEmpty(path.join(root, "package-lock.json"));
  const wanted = stampOf(lockText, process.platform, process.arch);
  const stamp = path.join(root, STAMP);
  if (readOrEmpty(stamp) === wanted) return true;
  // npm was run by hand; its own record of the installation shows whether that was enough.
  const installed = readOrEmpty(path.join(root, "node_modules", ".package-lock.json"));
  if (!sameInstall(lockText, installed)) return false;
  writeStamp(stamp, wanted);
  return true;
}

/** A copy of node_modules from another kind of machine holds programs that can't run here. @param {string} lockText @param {string} platform @param {string} arch */
function stampOf(lockText, platform, arch) {
  return `${createHash("sha256").update(lockText).digest("hex")} ${platform} ${arch}\n`;
}

/** Whether what npm says it installed has every package of the lock file, in its version. @param {string} lockText @param {string} installedText */
function sameInstall(lockText, installedText) {
  const wanted = packagesOf(lockText);
  const there = packagesOf(installedText);
  if (wanted === null || there === null) return false;
  return Object.entries(wanted).every(([where, entry]) => {
    if (where === "") return true;
    const found = there[where];
    // Optional ones may be for other machines.
    if (found === undefined) return entry.optional === true;
    // A lock file that was written without access to a package has no hash of it.
    const sameBytes = entry.integrity === undefined || found.integrity === entry.integrity;
    return found.version === entry.version && sameBytes;
  });
}

/**
 * @param {string} text
 * @returns {Record<string, { version?: string, integrity?: string, optional?: boolean }> | null}
 */
function packagesOf(text) {
  try {
    return JSON.parse(text).packages ?? null;
  } catch {
    return null;
  }
}

/** @param {string} file */
function readOrEmpty(file) {
  try {
    return fs.readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/** By rename, so that no process reads half a stamp. @param {string} file @param {string} text */
function writeStamp(file, text) {
  const partial = `${file}.${process.pid}`;
  fs.writeFileSync(partial, text);
  fs.renameSync(partial, file);
}

/** @param {string} root */
async function install(root) {
  console.log("Installing what package-lock.json names into node_modules: about a minute, once.");
  const started = performance.now();
  const seconds = () => Math.round((performance.now() - started) / 1000);
  const ticking = setInterval(() => console.log(`  still installing (${seconds()} s)`), STILL_INSTALLING_MS);
  const { code, output, interrupted } = await npmCi(root).finally(() => clearInterval(ticking));
  if (interrupted) throw new Error("The install was broken off; the same command starts it again.");
  if (code !== 0) throw new Error(failureText(code, output));
  const version = spawnSync(projectNode(root), ["--version"], { encoding: "utf8" });
  if (version.status !== 0) {
    throw new Error(
      "npm installed, but without running the install script of the package `node`, which brings the Node " +
        "this project runs on. Run `npm ci --ignore-scripts=false` here, then the same command again.",
    );
  }
  const lockText = readOrEmpty(path.join(root, "package-lock.json"));
  writeStamp(path.join(root, STAMP), stampOf(lockText, process.platform, process.arch));
  console.log(`Installed in ${seconds()} s; going on with Node ${version.stdout.trim()}.`);
}

/** @param {number | null} code @param {string} output */
function failureText(code, output) {
  // That packages want a newer Node than npm's is no fault: they get it. npm's usage explains nothing.
  const said = output
    .trimEnd()
    .split("\n")
    .filter((line) => !line.includes("EBADENGINE"));
  const usage = said.findIndex((line) => /^npm error (Usage|Options):/.test(line));
  const lines = said.slice(0, usage === -1 ? undefined : usage).slice(0, SHOWN_NPM_LINES);
  return [
    `\`npm ci\` failed (${code === null ? "something ended it" : `exit code ${code}`}). It said:`,
    ...lines.map((line) => `  ${line}`),
    "What to do: fix what it names (most often the network, a proxy or npm's configuration), or run " +
      "`npm ci --include=dev` by hand; then the same command again.",
  ].join("\n");
}

/**
 * @param {string} root
 * @returns {Promise<{ code: number | null, output: string, interrupted: boolean }>}
 */
function npmCi(root) {
  const { command, args, env } = npmCommand(root, process.env);
  // Development packages too, whatever NODE_ENV says: wrangler is one of them.
  // npm's own Node may be older than packages ask for: they run under the one that is installed here.
  const wanted = [...args, "ci", "--include=dev", "--engine-strict=false", "--no-audit", "--no-fund"];
  return new Promise((resolve) => {
    const child = spawn(command, wanted, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let interrupted = false;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk) => (output += chunk));
    }
    /** @param {NodeJS.Signals} signal */
    const pass = (signal) => {
      interrupted = true;
      child.kill(signal);
    };
    for (const signal of SIGNALS) process.on(signal, pass);
    /** @param {number | null} code */
    const settle = (code) => {
      for (const signal of SIGNALS) process.off(signal, pass);
      resolve({ code, output, interrupted });
    };
    child.on("error", (error) => {
      output += `${error.message}\n`;
      settle(1);
    });
    child.on("close", settle);
  });
}

/**
 * The npm to install with. `npm start` puts node_modules/.bin, and with it the Node in there, first on the
 * PATH; `npm ci` deletes just that while it runs, so it must be kept off it.
 * @param {string} root
 * @param {NodeJS.ProcessEnv} environment
 */
function npmCommand(root, environment) {
  const packages = path.join(root, "node_modules") + path.sep;
  const env = { ...environment };
  env["PATH"] = (env["PATH"] ?? "")
    .split(path.delimiter)
    .filter((folder) => !`${folder}${path.sep}`.startsWith(packages))
    .join(path.delimiter);
  // `npm --prefix somewhere start` hands a path on that is relative to another folder.
  delete env["npm_config_prefix"];
  const node = env["npm_node_execpath"];
  const cli = env["npm_execpath"];
  if (node && cli && path.basename(cli) === "npm-cli.js" && !node.startsWith(packages)) {
    return { command: node, args: [cli], env };
  }
  return { command: "npm", args: [], env };
}

module.exports = { run, ensureInstalled, isInstalled, stampOf, sameInstall, npmCommand, failureText, STAMP };
