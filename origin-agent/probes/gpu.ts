// The box's GPUs, from two long-lived `nvidia-smi`: the cards each second, the processes on them every five.
// A box without a GPU, or with a driver that hangs, is told once and serves on; what isn't known is null.
import {
  GPU_QUERY,
  PROCESS_QUERY,
  readGpuLine,
  readProcessLine,
  type Gpu,
  type GpuProcess,
} from "./gpu-csv.ts";
import { lookOnce } from "./gpu-look.ts";
import {
  LineProgram,
  type LineProgramOptions,
  type ProgramPaces,
  type ProgramProblem,
} from "./line-program.ts";
import { LineReport } from "./line-report.ts";

/** All in milliseconds; tests set shorter ones. */
export interface GpuPaces {
  /** Between two reports of the cards, and of the processes on them. */
  readonly gpuEvery: number;
  readonly processEvery: number;
  /** No card's line for so long: nvidia-smi hangs. Five reports were missed. */
  readonly silence: number;
  /** No process's line for so long: there is none, or it hangs; a single look then tells which. */
  readonly processSilence: number;
  /** A single look that takes longer hangs. */
  readonly singleLook: number;
  /** A report is over when its lines have stopped for so long: they come within a few milliseconds of one another. */
  readonly reportQuiet: number;
  /** Pause before nvidia-smi is started again: from here, doubling, to the next. A driver being updated takes minutes. */
  readonly firstPause: number;
  readonly longestPause: number;
  /** The same where there is no nvidia-smi: somebody may install one, some day. */
  readonly missingPause: number;
  /** It has to go well for so long before that is told: an nvidia-smi that ends each second is told once. */
  readonly wellAfter: number;
  /** Readings older than this are no longer told. */
  readonly gpuStale: number;
  readonly processStale: number;
}

export const GPU_PACES: GpuPaces = {
  gpuEvery: 1_000,
  processEvery: 5_000,
  silence: 5_000,
  processSilence: 11_000,
  singleLook: 5_000,
  reportQuiet: 300,
  firstPause: 1_000,
  longestPause: 60_000,
  missingPause: 300_000,
  wellAfter: 10_000,
  gpuStale: 10_000,
  processStale: 30_000,
};

export interface GpuProbeOptions {
  /** The program and its first arguments; `["nvidia-smi"]`. */
  readonly command: readonly [string, ...string[]];
  /** The environment nvidia-smi gets; this process's own where left out. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Told each time the probe's trouble changes; null when it is well again. */
  readonly onProblem: (problem: ProgramProblem | null) => void;
  /** Monotonic, milliseconds. */
  readonly clock: () => number;
  readonly paces?: GpuPaces;
}

export interface GpuReading {
  /** Whether the cards are known now. */
  readonly available: boolean;
  readonly problem: ProgramProblem | null;
  /** By index; null where unknown. */
  readonly gpus: readonly Gpu[] | null;
  readonly gpusAgeMs: number | null;
  /** Every process on a card; an empty list says that there is none, null that nobody knows. */
  readonly processes: readonly GpuProcess[] | null;
  /** Monotonic time of that list. */
  readonly processesReadAt: number | null;
}

export class GpuProbe {
  readonly #options: GpuProbeOptions;
  readonly #paces: GpuPaces;
  readonly #cards: LineProgram;
  readonly #apps: LineProgram;
  readonly #gpus: LineReport<Gpu>;
  readonly #processes: LineReport<GpuProcess>;
  #cardsProblem: ProgramProblem | null = null;
  #appsProblem: ProgramProblem | null = null;
  /** The kind of trouble last told; null: that all is well. */
  #told: ProgramProblem["kind"] | null = null;
  #wellSince: number | null = null;
  #silence: NodeJS.Timeout | undefined;
  #look: { readonly stop: () => void } | null = null;
  /** Single looks in a row that saw processes of which the long-lived nvidia-smi says nothing. */
  #missedByLoop = 0;
  #stopped = false;

  constructor(options: GpuProbeOptions) {
    this.#options = options;
    this.#paces = options.paces ?? GPU_PACES;
    const { clock } = options;
    const { reportQuiet, gpuEvery, processEvery } = this.#paces;
    this.#gpus = new LineReport(clock, reportQuiet, ({ index }) => String(index));
    // A process on two cards has a line for each.
    this.#processes = new LineReport(clock, reportQuiet, ({ pid, gpuUuid }) => `${pid} ${gpuUuid}`);
    this.#cards = this.#program([...GPU_QUERY, ...loopArgs(gpuEvery)], this.#paces, {
      onLine: (line) => this.#takeCard(line),
      onProblem: (problem) => {
        // The cards it still told of are there.
        this.#gpus.end();
        this.#cardsProblem = problem;
        this.#tell();
      },
    });
    const withoutSilence = { ...this.#paces, silence: null };
    this.#apps = this.#program([...PROCESS_QUERY, ...loopArgs(processEvery)], withoutSilence, {
      onLine: (line) => this.#takeProcess(line),
      onProblem: (problem) => {
        // Of a list that was cut off nobody knows who is missing from it.
        this.#processes.drop();
        this.#appsProblem = problem;
        this.#tell();
      },
    });
  }

  start(): void {
    this.#cards.start();
    this.#apps.start();
    this.#awaitProcesses();
  }

  /** Numbers of the processes it runs now. */
  get pids(): readonly number[] {
    return [this.#cards.pid, this.#apps.pid].filter((pid) => pid !== null);
  }

  latest(): GpuReading {
    const gpus = this.#gpus.youngerThan(this.#paces.gpuStale);
    const processes = this.#processes.youngerThan(this.#paces.processStale);
    return {
      available: gpus !== null,
      problem: this.#cardsProblem ?? this.#appsProblem,
      gpus: gpus === null ? null : gpus.items.toSorted((a, b) => a.index - b.index),
      gpusAgeMs: gpus === null ? null : this.#options.clock() - gpus.at,
      processes: processes?.items ?? null,
      processesReadAt: processes?.at ?? null,
    };
  }

  /** Ends every process it started. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#silence);
    this.#gpus.drop();
    this.#processes.drop();
    this.#look?.stop();
    await Promise.all([this.#cards.stop(), this.#apps.stop()]);
  }

  #program(
    args: readonly string[],
    paces: ProgramPaces,
    listener: Pick<LineProgramOptions, "onLine" | "onProblem">,
  ): LineProgram {
    const { command, env } = this.#options;
    return new LineProgram({ command, args, env, paces, ...listener });
  }

  #takeCard(line: string): boolean {
    const gpu = readGpuLine(line);
    if (gpu === null) return false;
    this.#gpus.add(gpu);
    this.#cardsProblem = null;
    this.#tell();
    return true;
  }

  #takeProcess(line: string): boolean {
    const process = readProcessLine(line);
    if (process === null) return false;
    if (process === "none") this.#processes.set([]);
    else this.#processes.add(process);
    this.#missedByLoop = 0;
    this.#appsProblem = null;
    this.#tell();
    this.#awaitProcesses();
    return true;
  }

  /** A box with no process on its cards prints nothing, and so does an nvidia-smi that hangs. */
  #awaitProcesses(): void {
    clearTimeout(this.#silence);
    if (this.#stopped) return;
    this.#silence = setTimeout(() => this.#lookOnce(), this.#paces.processSilence).unref();
  }

  #lookOnce(): void {
    // Where none runs, it is about to be started again, or there is nothing to start.
    if (this.#apps.pid === null) return this.#awaitProcesses();
    const { command, env } = this.#options;
    this.#look = lookOnce({ command, env, timeoutMs: this.#paces.singleLook }, (processes) => {
      this.#look = null;
      if (this.#stopped) return;
      if (processes !== null) {
        this.#processes.set(processes);
        this.#appsProblem = null;
        this.#tell();
      }
      // One that came up a moment ago may be seen here first.
      this.#missedByLoop = processes !== null && processes.length > 0 ? this.#missedByLoop + 1 : 0;
      if (processes === null || this.#missedByLoop > 1) this.#apps.restart({ kind: "silent" });
      this.#awaitProcesses();
    });
  }

  /** Trouble with the cards hides trouble with the processes: it is one driver. */
  #tell(): void {
    if (this.#stopped) return;
    const problem = this.#cardsProblem ?? this.#appsProblem;
    const now = this.#options.clock();
    this.#wellSince = problem === null ? (this.#wellSince ?? now) : null;
    if ((problem?.kind ?? null) === this.#told) return;
    if (this.#wellSince !== null && now - this.#wellSince < this.#paces.wellAfter) return;
    this.#told = problem?.kind ?? null;
    this.#options.onProblem(problem);
  }
}

/** Whole seconds in the form every nvidia-smi knows. */
const loopArgs = (everyMs: number): readonly string[] =>
  everyMs % 1_000 === 0 ? ["-l", String(everyMs / 1_000)] : ["-lms", String(everyMs)];
