// Runs one of the project's tools to its end: its output to the terminal, its exit code back.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { OFFLINE } from "./commands.mjs";
import { PROJECT_NODE, ROOT } from "./paths.mjs";

const SIGNALS = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]);

/**
 * @param {readonly string[]} args a script and what follows it
 * @returns {Promise<number>} the exit code; for a death by signal what a shell would say
 */
export function runNode(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(PROJECT_NODE, args, {
      cwd: ROOT,
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, ...OFFLINE },
    });
    /** @param {NodeJS.Signals} signal */
    const pass = (signal) => child.kill(signal);
    // Whoever started us was killed outright.
    const abandon = () => child.kill("SIGTERM");
    for (const signal of SIGNALS) process.on(signal, pass);
    process.on("disconnect", abandon);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      for (const signal of SIGNALS) process.off(signal, pass);
      process.off("disconnect", abandon);
      resolve(signal === null ? (code ?? 1) : 128 + constants.signals[signal]);
    });
  });
}
