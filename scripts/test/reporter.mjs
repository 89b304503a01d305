// Vitest's reporter for `npm test`: writes one line of JSON to file descriptor 3 for everything that happens. The
// runner at the other end prints, so that a run that breaks off still has what was written before.
import { writeSync } from "node:fs";
import { isAbsolute, relative } from "node:path";
import { stripVTControlCharacters } from "node:util";

const EVENTS_FD = 3;
const MAX_OUTPUT_LINES = 30;
const MAX_CAUSES = 3;

/** @typedef {import("vitest/node").TestCase} TestCase */
/** @typedef {import("vitest/node").TestModule} TestModule */
/** @typedef {import("vitest/node").TestSuite} TestSuite */
/** @typedef {import("./run-record.mjs").TestEvent} TestEvent */
/** @typedef {import("./run-record.mjs").ErrorReport} ErrorReport */
/** @typedef {{ message?: string, name?: string, diff?: string, stacks?: { file: string, line: number, column: number }[], stack?: string, cause?: unknown }} VitestError */

export default class EventReporter {
  /** The last lines that each running test printed. @type {Map<string, string[]>} */
  #output = new Map();
  /** The tests and modules whose end was sent, by id. @type {Set<string>} */
  #ended = new Set();

  /** @param {readonly unknown[]} specifications */
  onTestRunStart(specifications) {
    send({ type: "run", files: specifications.length });
  }

  /** @param {TestModule} module */
  onTestModuleQueued(module) {
    send({ type: "file", file: fileOf(module) });
  }

  /** @param {TestModule} module */
  onTestModuleCollected(module) {
    send({ type: "file", file: fileOf(module) });
  }

  /** @param {TestCase} test */
  onTestCaseReady(test) {
    send({ type: "step", file: fileOf(test.module), name: test.fullName });
  }

  /** @param {{ name: string, entity: TestCase | TestSuite | TestModule }} hook */
  onHookStart({ name, entity }) {
    send({ type: "step", file: fileOf(moduleOf(entity)), name: labelOf(name, entity) });
  }

  /** @param {{ name: string, entity: TestCase | TestSuite | TestModule }} hook */
  onHookEnd({ name, entity }) {
    send({ type: "step", file: fileOf(moduleOf(entity)), name: `after ${labelOf(name, entity)}` });
  }

  /** @param {TestCase} test */
  onTestCaseResult(test) {
    const { state, errors = [] } = test.result();
    if (this.#ended.has(test.id)) return;
    this.#ended.add(test.id);
    const output = this.#output.get(test.id) ?? [];
    this.#output.delete(test.id);
    send({
      type: "test",
      file: fileOf(test.module),
      name: test.fullName,
      state,
      errors: errors.map((error) => errorReport(error)),
      output: state === "failed" ? output : [],
    });
  }

  /** @param {TestSuite} suite */
  onTestSuiteResult(suite) {
    sendFaults(fileOf(suite.module), suite.fullName, suite.errors());
  }

  /** @param {TestModule} module */
  onTestModuleEnd(module) {
    if (this.#ended.has(module.id)) return;
    this.#ended.add(module.id);
    sendFaults(fileOf(module), null, module.errors());
    send({ type: "file-end", file: fileOf(module) });
  }

  /** @param {{ taskId?: string, content: string }} log */
  onUserConsoleLog({ taskId, content }) {
    if (taskId === undefined) return;
    const lines = [
      ...(this.#output.get(taskId) ?? []),
      ...stripVTControlCharacters(content).trimEnd().split("\n"),
    ];
    this.#output.set(taskId, lines.slice(-MAX_OUTPUT_LINES));
  }

  /** @param {readonly TestModule[]} modules @param {readonly VitestError[]} unhandled */
  onTestRunEnd(modules, unhandled) {
    // Vitest handles the batches of a worker's events concurrently: the end of a file may be behind the run's.
    for (const module of modules.filter(({ id }) => !this.#ended.has(id))) {
      for (const test of module.children.allTests()) {
        if (!this.#ended.has(test.id) && test.result().state !== "pending") this.onTestCaseResult(test);
      }
      if (!["queued", "pending"].includes(module.state())) this.onTestModuleEnd(module);
    }
    sendFaults(null, null, unhandled);
    send({ type: "end" });
  }
}

/** @param {TestEvent} event */
function send(event) {
  // Synchronous: nothing is lost if this process ends right afterwards.
  writeSync(EVENTS_FD, `${JSON.stringify(event)}\n`);
}

/** @param {string | null} file @param {string | null} name @param {readonly VitestError[]} errors */
function sendFaults(file, name, errors) {
  for (const error of errors) send({ type: "fault", file, name, error: errorReport(error) });
}

/** @param {TestCase | TestSuite | TestModule} entity */
function moduleOf(entity) {
  return entity.type === "module" ? entity : entity.module;
}

/** @param {string} hook @param {TestCase | TestSuite | TestModule} entity */
function labelOf(hook, entity) {
  return entity.type === "module" ? hook : `${hook} of ${entity.fullName}`;
}

/** @param {TestModule} module */
function fileOf(module) {
  return fromRoot(module.moduleId);
}

/** @param {string} path */
function fromRoot(path) {
  const file = relative(process.cwd(), path);
  return file.startsWith("..") || isAbsolute(file) ? path : file;
}

/** @param {unknown} thrown tests may throw anything @param {number} [depth] of causes @returns {ErrorReport} */
function errorReport(thrown, depth = 0) {
  if (typeof thrown !== "object" || thrown === null) {
    return { message: `thrown: ${String(thrown)}`, at: null, details: [] };
  }
  const {
    name = "Error",
    message = "",
    diff,
    stacks = [],
    stack,
    cause,
  } = /** @type {VitestError} */ (thrown);
  const text = stripVTControlCharacters(message);
  // The assertion's own place, or the first one in this repository if a package threw.
  const place = stacks.find(({ file }) => !file.includes("node_modules")) ?? stacks[0];
  return {
    message: name === "Error" || text.startsWith(name) ? text : `${name}: ${text}`,
    at: place === undefined ? firstFrame(stack) : `${fromRoot(place.file)}:${place.line}:${place.column}`,
    details: [
      ...(diff === undefined ? [] : stripVTControlCharacters(diff).split("\n")),
      ...(cause === undefined || cause === null || depth === MAX_CAUSES ? [] : causeLines(cause, depth)),
    ],
  };
}

/** @param {unknown} cause @param {number} depth */
function causeLines(cause, depth) {
  const { message, at, details } = errorReport(cause, depth + 1);
  return [`caused by ${message}`, ...(at === null ? [] : [`  at ${at}`]), ...details];
}

/** @param {string | undefined} stack */
function firstFrame(stack) {
  return /^\s*at (.+)$/m.exec(stack ?? "")?.[1] ?? null;
}
