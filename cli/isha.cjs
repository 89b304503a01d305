#!/usr/bin/env node
// Starts the operators' command (`npm run isha`) on the Node that package-lock.json names, which runs TypeScript. This
// file runs on any Node and loads nothing from node_modules.
"use strict";
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

const ROOT = path.dirname(__dirname);
const PACKAGES = path.join(ROOT, "node_modules");
const NODE = path.join(PACKAGES, "node", "bin", "node");
const SIGNALS = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]);

/** Missing if `npm ci` was never run, or last ran for an older version without this command. */
const NEEDED = [NODE, path.join(PACKAGES, "commander"), path.join(PACKAGES, "zod")];

function main() {
  if (!NEEDED.every((file) => fs.existsSync(file))) {
    console.error(`isha: its packages aren't installed. Run \`npm ci\` in ${ROOT}, then try again.`);
    process.exitCode = 1;
    return;
  }
  const child = spawn(NODE, [path.join(__dirname, "main.ts"), ...process.argv.slice(2)], {
    stdio: "inherit",
    // `isha keys bootstrap --put` runs this clone's wrangler.
    env: {
      ...process.env,
      PATH: [path.join(PACKAGES, ".bin"), process.env["PATH"]].filter(Boolean).join(path.delimiter),
    },
  });
  /** @param {NodeJS.Signals} signal */
  const forward = (signal) => child.kill(signal);
  for (const signal of SIGNALS) process.on(signal, forward);
  child.on("error", (error) => {
    console.error(`isha: Node at ${NODE} can't be run: ${error.message}`);
    process.exitCode = 1;
  });
  child.on("exit", (code, signal) => {
    for (const name of SIGNALS) process.off(name, forward);
    // Ending by the same signal gives the caller the same exit code.
    if (signal !== null) process.kill(process.pid, signal);
    else process.exitCode = code ?? 1;
  });
}

main();
