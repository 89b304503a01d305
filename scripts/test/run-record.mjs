// Folds the reporter's events into what a run of vitest has shown so far. Pure: the clock is passed in.

/** @typedef {{ message: string, at: string | null, details: string[] }} ErrorReport */
/**
 * @typedef {{ type: "run", files: number }
 *   | { type: "file", file: string }
 *   | { type: "step", file: string, name: string }
 *   | { type: "test", file: string, name: string, state: string, errors: ErrorReport[], output: string[] }
 *   | { type: "fault", file: string | null, name: string | null, error: ErrorReport }
 *   | { type: "file-end", file: string }
 *   | { type: "end" }} TestEvent
 */
/**
 * @typedef {object} Failure
 * @property {string | null} file null: outside any test file
 * @property {string | null} name of the test, else of the suite; null: outside both
 * @property {boolean} isTest
 * @property {ErrorReport[]} errors
 * @property {string[]} output the last lines that the test printed
 */
/** @typedef {{ file: string | null, doing: string | null }} Silence */

export class RunRecord {
  #passed = 0;
  #skipped = 0;
  /** @type {Failure[]} */
  #failures = [];
  #files = 0;
  #hasEnded = false;
  /** @type {Map<string, { doing: string | null, at: number }>} */
  #running = new Map();
  /** Events of a file may come after its end. @type {Set<string>} */
  #ended = new Set();
  #lastAt;

  /** @param {number} now the run's start, in ms of a monotonic clock */
  constructor(now) {
    this.#lastAt = now;
  }

  /** @param {TestEvent} event @param {number} now */
  take(event, now) {
    this.#lastAt = now;
    switch (event.type) {
      case "run":
        this.#files = event.files;
        break;
      case "file":
        this.#see(event.file, "loading the file", now);
        break;
      case "step":
        this.#see(event.file, event.name, now);
        break;
      case "test":
        this.#see(event.file, `after ${event.name}`, now);
        this.#takeTest(event);
        break;
      case "fault":
        this.#failures.push(faultOf(event.file, event.name, event.error));
        break;
      case "file-end":
        this.#ended.add(event.file);
        this.#running.delete(event.file);
        break;
      case "end":
        this.#hasEnded = true;
        for (const [file, { doing }] of this.#running) this.#failures.push(unfinished(file, doing));
        this.#running.clear();
        break;
    }
  }

  /** @param {string} file @param {string} doing @param {number} now */
  #see(file, doing, now) {
    if (!this.#ended.has(file)) this.#running.set(file, { doing, at: now });
  }

  /** @param {Extract<TestEvent, { type: "test" }>} event */
  #takeTest({ file, name, state, errors, output }) {
    if (state === "passed") this.#passed += 1;
    else if (state === "skipped") this.#skipped += 1;
    else this.#failures.push({ file, name, isTest: true, errors, output });
  }

  /** @param {string} message of an error that belongs to the whole run */
  addFault(message) {
    this.#failures.push(faultOf(null, null, { message, at: null, details: [] }));
  }

  /**
   * Files, or the run itself, that have shown no sign of life for longer than the limit; they are failures then.
   * @param {number} now
   * @param {number} limitMs
   * @returns {Silence[]}
   */
  findHung(now, limitMs) {
    const files = [...this.#running].filter(([, { at }]) => now - at > limitMs);
    const hung = files.map(([file, { doing }]) => ({ file, doing }));
    const isSilent = files.length === 0 && now - this.#lastAt > limitMs;
    return isSilent ? [{ file: null, doing: null }] : hung;
  }

  /**
   * Ends the record of a run that was killed because parts of it hung.
   * @param {readonly Silence[]} hung
   * @param {number} limitMs
   * @param {readonly string[]} lines the last ones that vitest printed
   */
  endHung(hung, limitMs, lines) {
    for (const { file, doing } of hung) {
      const last = doing === null ? "" : `; last seen: ${doing}`;
      const message = `no sign of life for ${Math.round(limitMs / 1000)} s${last}`;
      const details = file === null && lines.length > 0 ? ["vitest's last lines:", ...lines] : [];
      this.#failures.push(faultOf(file, null, { message, at: null, details }));
      if (file !== null) this.#running.delete(file);
    }
    const left = this.#files - this.#ended.size - hung.filter(({ file }) => file !== null).length;
    if (left > 0) this.addFault(`${left} more files were not finished, because the run was ended`);
    this.#hasEnded = true;
  }

  /** Whether vitest said that the run is complete. */
  get hasEnded() {
    return this.#hasEnded;
  }

  get failures() {
    return this.#failures;
  }

  get counts() {
    return { passed: this.#passed, failed: this.#failures.length, skipped: this.#skipped };
  }

  get tests() {
    return this.#passed + this.#skipped + this.#failures.filter(({ isTest }) => isTest).length;
  }

  /** What to show while it runs. */
  get state() {
    const { failed } = this.counts;
    const files = this.#files === 0 ? "" : `, ${this.#ended.size} of ${this.#files} files`;
    return `${this.tests} tests${files}${failed === 0 ? "" : `, ${failed} failed`}`;
  }
}

/** @param {string | null} file @param {string | null} name @param {ErrorReport} error @returns {Failure} */
function faultOf(file, name, error) {
  return { file, name, isTest: false, errors: [error], output: [] };
}

/** @param {string} file @param {string | null} doing */
function unfinished(file, doing) {
  const message = `the file did not finish; last seen: ${doing ?? "nothing"}`;
  return faultOf(file, null, { message, at: null, details: [] });
}
