// Counts the code blocks that some work executes in given files, with V8's own counters: an operation's cost in
// steps, which is the same on every machine and includes unexpected loops.
import { Session } from "node:inspector/promises";

export class StepCounter {
  readonly #session = new Session();
  readonly #files: RegExp;

  /** @param files matches the paths of the files to count. */
  constructor(files: RegExp) {
    this.#files = files;
  }

  async start(): Promise<void> {
    this.#session.connect();
    await this.#session.post("Profiler.enable");
    await this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  async stop(): Promise<void> {
    await this.#session.post("Profiler.stopPreciseCoverage");
    this.#session.disconnect();
  }

  async count(work: () => void): Promise<number> {
    await this.#session.post("Profiler.takePreciseCoverage");
    work();
    const { result } = await this.#session.post("Profiler.takePreciseCoverage");
    const ranges = result
      .filter(({ url }) => this.#files.test(url))
      .flatMap(({ functions }) => functions.flatMap((fn) => fn.ranges));
    return ranges.reduce((sum, range) => sum + range.count, 0);
  }
}
