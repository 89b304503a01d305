// Folds the reporter's events into what a run of vitest has shown so far. Pure: the clock is passed in.

export interface ErrorReport {
  message: string;
  at: string | null;
  details: string[];
}

export type TestEvent =
  | { type: "run"; files: number }
  | { type: "file"; file: string }
  | { type: "step"; file: string; name: string }
  | { type: "test"; file: string; name: string; state: string; errors: ErrorReport[]; output: string[] }
  | { type: "fault"; file: string | null; name: string | null; error: ErrorReport }
  | { type: "file-end"; file: string }
  | { type: "end" };

export interface Failure {
  /** Null: outside any test file. */
  file: string | null;
  /** Of the test, else of the suite; null: outside both. */
  name: string | null;
  isTest: boolean;
  errors: ErrorReport[];
  /** The last lines that the test printed. */
  output: string[];
}

interface Silence {
  file: string | null;
  doing: string | null;
}

export class RunRecord {
  #passed = 0;
  #skipped = 0;
  #failures: Failure[] = [];
  #files = 0;
  #hasEnded = false;
  #running = new Map<string, { doing: string | null; at: number }>();
  /** Events of a file may come after its end. */
  #ended = new Set<string>();
  #lastAt;

  /** @param now the run's start, in ms of a monotonic clock */
  constructor(now: number) {
    this.#lastAt = now;
  }

  take(event: TestEvent, now: number) {
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

  #see(file: string, doing: string, now: number) {
    if (!this.#ended.has(file)) this.#running.set(file, { doing, at: now });
  }

  #takeTest({ file, name, state, errors, output }: Extract<TestEvent, { type: "test" }>) {
    if (state === "passed") this.#passed += 1;
    else if (state === "skipped") this.#skipped += 1;
    else this.#failures.push({ file, name, isTest: true, errors, output });
  }

  /** @param message of an error that belongs to the whole run */
  addFault(message: string) {
    this.#failures.push(faultOf(null, null, { message, at: null, details: [] }));
  }

  /** Files, or the run itself, that have shown no sign of life for longer than the limit; they are failures then. */
  findHung(now: number, limitMs: number): Silence[] {
    const files = [...this.#running].filter(([, { at }]) => now - at > limitMs);
    const hung = files.map(([file, { doing }]) => ({ file, doing }));
    const isSilent = files.length === 0 && now - this.#lastAt > limitMs;
    return isSilent ? [{ file: null, doing: null }] : hung;
  }

  /**
   * Ends the record of a run that was killed because parts of it hung.
   * @param lines the last ones that vitest printed
   */
  endHung(hung: readonly Silence[], limitMs: number, lines: readonly string[]) {
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

function faultOf(file: string | null, name: string | null, error: ErrorReport): Failure {
  return { file, name, isTest: false, errors: [error], output: [] };
}

function unfinished(file: string, doing: string | null) {
  const message = `the file did not finish; last seen: ${doing ?? "nothing"}`;
  return faultOf(file, null, { message, at: null, details: [] });
}
