#!/usr/bin/env node
// What `npx isha` and `npm run isha` start, on whatever Node there is: hands over to the Node that
// package-lock.json names, which reads TypeScript as it is. It loads nothing from node_modules.
"use strict";
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

const ROOT = path.dirname(__dirname);
const PACKAGES = path.join(ROOT, "node_modules");
const NODE = path.join(PACKAGES, "node", "bin", "node");
const SIGNALS = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]);

/** Without these nothing below could run: an install that never was, or one from before this command. */
const NEEDED = [NODE, path.join(PACKAGES, "commander"), path.join(PACKAGES, "zod")];

function main() {
  if (!NEEDED.every((file) => fs.existsSync(file))) {
    console.error(
      `isha: its packages aren't installed. Run \`npm ci\` in ${ROOT}, then the same command again.`,
    );
    process.exitCode = 1;
    return;
  }
  const child = spawn(NODE, [path.join(__dirname, "main.ts"), ...process.argv.slice(2)], {
    stdio: "inherit",
    // `isha keys bootstrap --put` runs the wrangler of this clone.
    env: {
      ...process.env,
      PATH: [path.join(PACKAGES, ".bin"), process.env["PATH"]].filter(Boolean).join(path.delimiter),
    },
  });
  /** @param {NodeJS.Signals} signal */
  const pass = (signal) => child.kill(signal);
  for (const signal of SIGNALS) process.on(signal, pass);
  child.on("error", (error) => {
    console.error(`isha: Node at ${NODE} can't be run: ${error.message}`);
    process.exitCode = 1;
  });
  child.on("exit", (code, signal) => {
    for (const name of SIGNALS) process.off(name, pass);
    // Dying of the same signal gives our caller the same exit code.
    if (signal !== null) process.kill(process.pid, signal);
    else process.exitCode = code ?? 1;
  });
}

main();
