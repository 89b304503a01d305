// Vitest's reporter for `npm test`: writes one line of JSON to file descriptor 3 for everything that happens. The
// runner at the other end prints, so that a run that breaks off still has what was written before.
import { writeSync } from "node:fs";
import { isAbsolute, relative } from "node:path";
import { stripVTControlCharacters } from "node:util";
import type { TestCase, TestModule, TestSuite } from "vitest/node";
import type { ErrorReport, TestEvent } from "./run-record.ts";

const EVENTS_FD = 3;
const MAX_OUTPUT_LINES = 30;
const MAX_CAUSES = 3;

interface VitestError {
  message?: string;
  name?: string;
  diff?: string;
  stacks?: { file: string; line: number; column: number }[];
  stack?: string;
  cause?: unknown;
}

export default class EventReporter {
  /** The last lines that each running test printed. */
  #output = new Map<string, string[]>();
  /** The tests and modules whose end was sent, by id. */
  #ended = new Set<string>();

  onTestRunStart(specifications: readonly unknown[]) {
    send({ type: "run", files: specifications.length });
  }

  onTestModuleQueued(module: TestModule) {
    send({ type: "file", file: fileOf(module) });
  }

  onTestModuleCollected(module: TestModule) {
    send({ type: "file", file: fileOf(module) });
  }

  onTestCaseReady(test: TestCase) {
    send({ type: "step", file: fileOf(test.module), name: test.fullName });
  }

  onHookStart({ name, entity }: { name: string; entity: TestCase | TestSuite | TestModule }) {
    send({ type: "step", file: fileOf(moduleOf(entity)), name: labelOf(name, entity) });
  }

  onHookEnd({ name, entity }: { name: string; entity: TestCase | TestSuite | TestModule }) {
    send({ type: "step", file: fileOf(moduleOf(entity)), name: `after ${labelOf(name, entity)}` });
  }

  onTestCaseResult(test: TestCase) {
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

  onTestSuiteResult(suite: TestSuite) {
    sendFaults(fileOf(suite.module), suite.fullName, suite.errors());
  }

  onTestModuleEnd(module: TestModule) {
    if (this.#ended.has(module.id)) return;
    this.#ended.add(module.id);
    sendFaults(fileOf(module), null, module.errors());
    send({ type: "file-end", file: fileOf(module) });
  }

  onUserConsoleLog({ taskId, content }: { taskId?: string; content: string }) {
    if (taskId === undefined) return;
    const lines = [
      ...(this.#output.get(taskId) ?? []),
      ...stripVTControlCharacters(content).trimEnd().split("\n"),
    ];
    this.#output.set(taskId, lines.slice(-MAX_OUTPUT_LINES));
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly VitestError[]) {
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

function send(event: TestEvent) {
  // Synchronous: nothing is lost if this process ends right afterwards.
  writeSync(EVENTS_FD, `${JSON.stringify(event)}\n`);
}

function sendFaults(file: string | null, name: string | null, errors: readonly VitestError[]) {
  for (const error of errors) send({ type: "fault", file, name, error: errorReport(error) });
}

function moduleOf(entity: TestCase | TestSuite | TestModule) {
  return entity.type === "module" ? entity : entity.module;
}

function labelOf(hook: string, entity: TestCase | TestSuite | TestModule) {
  return entity.type === "module" ? hook : `${hook} of ${entity.fullName}`;
}

function fileOf(module: TestModule) {
  return fromRoot(module.moduleId);
}

function fromRoot(path: string) {
  const file = relative(process.cwd(), path);
  return file.startsWith("..") || isAbsolute(file) ? path : file;
}

/** @param thrown tests may throw anything @param depth of causes */
function errorReport(thrown: unknown, depth: number = 0): ErrorReport {
  if (typeof thrown !== "object" || thrown === null) {
    return { message: `thrown: ${String(thrown)}`, at: null, details: [] };
  }
  const { name = "Error", message = "", diff, stacks = [], stack, cause } = thrown as VitestError;
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

function causeLines(cause: unknown, depth: number) {
  const { message, at, details } = errorReport(cause, depth + 1);
  return [`caused by ${message}`, ...(at === null ? [] : [`  at ${at}`]), ...details];
}

function firstFrame(stack: string | undefined) {
  return /^\s*at (.+)$/m.exec(stack ?? "")?.[1] ?? null;
}
