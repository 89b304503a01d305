// Probes the box's GPUs with two long-lived `nvidia-smi`: the cards every second, their processes every five. A box
// without a GPU, or with a hung driver, is reported once and continues to serve; unknown figures are null.
import type { Backoff } from "../../shared/backoff.ts";
import {
  GPU_QUERY,
  PROCESS_QUERY,
  readGpuLine,
  readProcessLine,
  type Gpu,
  type GpuProcess,
} from "./gpu-csv.ts";
import { queryOnce } from "./gpu-process-query.ts";
import {
  LineProgram,
  type LineProgramOptions,
  type ProgramProblem,
  type ProgramTimings,
} from "./line-program.ts";
import { LineReport } from "./line-report.ts";

/** Tests set shorter ones. */
export interface GpuTimings {
  readonly cardsIntervalMs: number;
  readonly processesIntervalMs: number;
  /** No card's line for this time (five reports are missing): nvidia-smi hangs. */
  readonly silenceMs: number;
  /** No process's line for this time: there is no process, or nvidia-smi hangs; a single query decides which. */
  readonly processesSilenceMs: number;
  /** A single query that takes longer hangs. */
  readonly queryTimeoutMs: number;
  /** A report ends when no line has arrived for this time; its lines come within a few milliseconds. */
  readonly reportGapMs: number;
  /** Pauses before nvidia-smi is started again. A driver update takes minutes. */
  readonly restart: Backoff;
  /** Pause if there is no nvidia-smi: an operator may install it later. */
  readonly missingRetryMs: number;
  /** A recovery is reported only after this time without a problem: an nvidia-smi that exits every second is reported once. */
  readonly recoveredAfterMs: number;
  /** Older readings are no longer returned. */
  readonly cardsMaxAgeMs: number;
  readonly processesMaxAgeMs: number;
}

export const GPU_TIMINGS: GpuTimings = {
  cardsIntervalMs: 1_000,
  processesIntervalMs: 5_000,
  silenceMs: 5_000,
  processesSilenceMs: 11_000,
  queryTimeoutMs: 5_000,
  reportGapMs: 300,
  restart: { minMs: 1_000, maxMs: 60_000 },
  missingRetryMs: 300_000,
  recoveredAfterMs: 10_000,
  cardsMaxAgeMs: 10_000,
  processesMaxAgeMs: 30_000,
};

export interface GpuProbeOptions {
  /** The program and its first arguments; `["nvidia-smi"]`. */
  readonly command: readonly [string, ...string[]];
  /** nvidia-smi's environment; this process's own if absent. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Called each time the probe's problem changes; null when it has recovered. */
  readonly onProblem: (problem: ProgramProblem | null) => void;
  /** Monotonic, milliseconds. */
  readonly clock: () => number;
  readonly timings?: GpuTimings;
}

export interface GpuSample {
  /** By index; null if unknown. */
  readonly gpus: readonly Gpu[] | null;
  /** Every process on a card; empty if there is none, null if unknown. */
  readonly processes: readonly GpuProcess[] | null;
  /** Monotonic time of that list. */
  readonly processesReadAt: number | null;
}

export class GpuProbe {
  readonly #options: GpuProbeOptions;
  readonly #timings: GpuTimings;
  readonly #cardsProgram: LineProgram;
  readonly #processesProgram: LineProgram;
  readonly #gpus: LineReport<Gpu>;
  readonly #processes: LineReport<GpuProcess>;
  #cardsProblem: ProgramProblem | null = null;
  #processesProblem: ProgramProblem | null = null;
  /** The last kind of problem that was reported; null for none. */
  #reported: ProgramProblem["kind"] | null = null;
  #healthyFrom: number | null = null;
  #silenceTimer: NodeJS.Timeout | undefined;
  #query: { readonly stop: () => void } | null = null;
  /** Single queries in a row that returned processes of which the long-lived nvidia-smi printed nothing. */
  #missedByProgram = 0;
  #stopped = false;

  constructor(options: GpuProbeOptions) {
    this.#options = options;
    this.#timings = options.timings ?? GPU_TIMINGS;
    const { clock } = options;
    const { reportGapMs, cardsIntervalMs, processesIntervalMs } = this.#timings;
    this.#gpus = new LineReport(clock, reportGapMs, ({ index }) => String(index));
    // A process on two cards has one line for each.
    this.#processes = new LineReport(clock, reportGapMs, ({ pid, gpuUuid }) => `${pid} ${gpuUuid}`);
    this.#cardsProgram = this.#program([...GPU_QUERY, ...loopArgs(cardsIntervalMs)], this.#timings, {
      onLine: (line) => this.#onCard(line),
      onProblem: (problem) => {
        // The cards that it still reported exist.
        this.#gpus.end();
        this.#cardsProblem = problem;
        this.#reportProblem();
      },
    });
    const mayBeSilent = { ...this.#timings, silenceMs: null };
    this.#processesProgram = this.#program(
      [...PROCESS_QUERY, ...loopArgs(processesIntervalMs)],
      mayBeSilent,
      {
        onLine: (line) => this.#onProcess(line),
        onProblem: (problem) => {
          // The list may be incomplete, and a missing process looks like one that has exited.
          this.#processes.drop();
          this.#processesProblem = problem;
          this.#reportProblem();
        },
      },
    );
  }

  start(): void {
    this.#cardsProgram.start();
    this.#processesProgram.start();
    this.#awaitProcesses();
  }

  /** The processes that it is running. */
  get pids(): readonly number[] {
    return [this.#cardsProgram.pid, this.#processesProgram.pid].filter((pid) => pid !== null);
  }

  latest(): GpuSample {
    const gpus = this.#gpus.latest(this.#timings.cardsMaxAgeMs);
    const processes = this.#processes.latest(this.#timings.processesMaxAgeMs);
    return {
      gpus: gpus?.items.toSorted((a, b) => a.index - b.index) ?? null,
      processes: processes?.items ?? null,
      processesReadAt: processes?.at ?? null,
    };
  }

  /** Kills every process that it started. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#silenceTimer);
    this.#gpus.drop();
    this.#processes.drop();
    this.#query?.stop();
    await Promise.all([this.#cardsProgram.stop(), this.#processesProgram.stop()]);
  }

  #program(
    args: readonly string[],
    timings: ProgramTimings,
    listener: Pick<LineProgramOptions, "onLine" | "onProblem">,
  ): LineProgram {
    const { command, env } = this.#options;
    return new LineProgram({ command, args, env, timings, ...listener });
  }

  #onCard(line: string): boolean {
    const gpu = readGpuLine(line);
    if (gpu === null) return false;
    this.#gpus.add(gpu);
    this.#cardsProblem = null;
    this.#reportProblem();
    return true;
  }

  #onProcess(line: string): boolean {
    const process = readProcessLine(line);
    if (process === null) return false;
    if (process === "none") this.#processes.set([]);
    else this.#processes.add(process);
    this.#missedByProgram = 0;
    this.#processesProblem = null;
    this.#reportProblem();
    this.#awaitProcesses();
    return true;
  }

  /** nvidia-smi prints nothing if no process is on the cards, and also if it hangs. */
  #awaitProcesses(): void {
    clearTimeout(this.#silenceTimer);
    if (this.#stopped) return;
    this.#silenceTimer = setTimeout(() => this.#queryProcesses(), this.#timings.processesSilenceMs).unref();
  }

  #queryProcesses(): void {
    // While the program isn't running, it is about to be started again, or it doesn't exist.
    if (this.#processesProgram.pid === null) return this.#awaitProcesses();
    const { command, env } = this.#options;
    this.#query = queryOnce({ command, env, timeoutMs: this.#timings.queryTimeoutMs }, (processes) => {
      this.#query = null;
      if (this.#stopped) return;
      if (processes !== null) {
        this.#processes.set(processes);
        this.#processesProblem = null;
        this.#reportProblem();
      }
      // The first time, the process may have started a moment ago.
      this.#missedByProgram = processes !== null && processes.length > 0 ? this.#missedByProgram + 1 : 0;
      if (processes === null || this.#missedByProgram > 1) this.#processesProgram.restart({ kind: "silent" });
      this.#awaitProcesses();
    });
  }

  /** A problem with the cards hides one with the processes: both come from one driver. */
  #reportProblem(): void {
    if (this.#stopped) return;
    const problem = this.#cardsProblem ?? this.#processesProblem;
    const now = this.#options.clock();
    this.#healthyFrom = problem === null ? (this.#healthyFrom ?? now) : null;
    if ((problem?.kind ?? null) === this.#reported) return;
    if (this.#healthyFrom !== null && now - this.#healthyFrom < this.#timings.recoveredAfterMs) return;
    this.#reported = problem?.kind ?? null;
    this.#options.onProblem(problem);
  }
}

/** Whole seconds use the option that every nvidia-smi has. */
const loopArgs = (intervalMs: number): readonly string[] =>
  intervalMs % 1_000 === 0 ? ["-l", String(intervalMs / 1_000)] : ["-lms", String(intervalMs)];
