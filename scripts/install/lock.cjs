// A lock between processes: a file that holds its owner's process id. One whose owner is gone is taken over.
"use strict";
const fs = require("node:fs");
const path = require("node:path");

const POLL_MS = 250;
/** How long a lock may stay empty: its owner creates it and writes into it in two steps. */
const WRITE_MS = 60_000;

/**
 * @param {string} file
 * @param {() => void} onWait called once, if another process holds it
 * @returns {Promise<() => void>} gives it back
 */
async function takeLock(file, onWait) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  let said = false;
  /** Since when this process has seen an empty lock. By its own clock: the one of file times may be set. @type {number | null} */
  let emptySince = null;
  for (;;) {
    if (create(file)) return () => fs.rmSync(file, { force: true });
    const owner = read(file);
    emptySince = owner === "" ? (emptySince ?? performance.now()) : null;
    const emptyMs = emptySince === null ? 0 : performance.now() - emptySince;
    if (owner !== null && isStale(owner, emptyMs)) dropStale(file, owner);
    else if (!said) {
      said = true;
      onWait();
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** @param {string} file */
function create(file) {
  try {
    fs.writeFileSync(file, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "EEXIST") return false;
    throw error;
  }
}

/** @param {string} file @returns {string | null} null: it has just been given back */
function read(file) {
  try {
    return fs.readFileSync(file, "utf8");
  } catch {
    return null;
  }
}

/** @param {string} owner @param {number} emptyMs how long the lock has been empty */
function isStale(owner, emptyMs) {
  return owner === "" ? emptyMs > WRITE_MS : !isAlive(Number(owner));
}

/** Two processes may see the same dead owner: the one that then moves away a *new* lock puts it back. @param {string} file @param {string} owner */
function dropStale(file, owner) {
  const aside = `${file}.${process.pid}`;
  try {
    fs.renameSync(file, aside);
    if (fs.readFileSync(aside, "utf8") === owner) fs.rmSync(aside);
    else fs.renameSync(aside, file);
  } catch {
    // The other one was quicker.
  }
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
}

module.exports = { takeLock };
