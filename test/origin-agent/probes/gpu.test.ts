// The probe with the simulated nvidia-smi, a separate program, and each of its faults.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { GPU_TIMINGS, GpuProbe, type GpuSample, type GpuTimings } from "../../../origin-agent/probes/gpu.ts";
import type { ProgramProblem } from "../../../origin-agent/probes/line-program.ts";
import { isAlive } from "../support/is-alive.ts";
import { until } from "../../support/until.ts";

const SIMULATOR = fileURLToPath(new URL("../../sim/nvidia-smi.ts", import.meta.url));
const COMMAND = [process.execPath, "--disable-warning=ExperimentalWarning", SIMULATOR] as const;

/** Longer than any test runs. */
const NEVER_MS = 3_600_000;

const TIMINGS: GpuTimings = {
  ...GPU_TIMINGS,
  cardsIntervalMs: 50,
  processesIntervalMs: 50,
  // The simulator starts slowly on a busy machine, so these are short only in tests of hangs.
  silenceMs: NEVER_MS,
  processesSilenceMs: NEVER_MS,
  queryTimeoutMs: NEVER_MS,
  reportGapMs: 25,
  restart: { minMs: 20, maxMs: 100 },
  missingRetryMs: 50,
  recoveredAfterMs: 100,
  cardsMaxAgeMs: NEVER_MS,
  processesMaxAgeMs: NEVER_MS,
};
const SHORT_TIMEOUTS: Partial<GpuTimings> = {
  silenceMs: 1_500,
  processesSilenceMs: 500,
  queryTimeoutMs: 1_500,
};
const SHORT_MAX_AGES: Partial<GpuTimings> = { cardsMaxAgeMs: 500, processesMaxAgeMs: 500 };
/** After a hang: from its next start on, the simulator may take any time. */
const NO_TIMEOUTS: Partial<GpuTimings> = {
  silenceMs: NEVER_MS,
  processesSilenceMs: NEVER_MS,
  queryTimeoutMs: NEVER_MS,
  cardsMaxAgeMs: NEVER_MS,
  processesMaxAgeMs: NEVER_MS,
};

const folder = mkdtempSync(join(tmpdir(), "gpu-probe-"));
afterAll(() => rmSync(folder, { recursive: true }));

class Bench {
  readonly problems: (ProgramProblem["kind"] | "recovered")[] = [];
  readonly details: ProgramProblem[] = [];
  /** Read by the probe at each use, except the intervals between reports. */
  readonly timings: { -readonly [Name in keyof GpuTimings]: GpuTimings[Name] };
  readonly probe: GpuProbe;
  readonly #file: string;

  constructor(
    box: unknown,
    timings: Partial<GpuTimings> = {},
    command: readonly [string, ...string[]] = COMMAND,
    clock = (): number => performance.now(),
  ) {
    this.timings = { ...TIMINGS, ...timings };
    this.#file = join(folder, `${Math.random()}.json`);
    this.set(box);
    this.probe = new GpuProbe({
      command,
      env: { NVIDIA_SMI_SIM: this.#file },
      onProblem: (problem) => {
        this.problems.push(problem?.kind ?? "recovered");
        if (problem !== null) this.details.push(problem);
      },
      clock,
      timings: this.timings,
    });
    benches.push(this);
    this.probe.start();
  }

  /** Replaces the simulated box. */
  set(box: unknown): void {
    writeFileSync(`${this.#file}.new`, JSON.stringify(box));
    renameSync(`${this.#file}.new`, this.#file);
  }

  async sample(what: string, matches: (sample: GpuSample) => boolean): Promise<GpuSample> {
    return until(() => {
      const sample = this.probe.latest();
      return matches(sample) ? sample : null;
    }, what);
  }

  /** Waits until the cards and the processes are known. */
  async complete(): Promise<GpuSample> {
    return this.sample("cards and processes", isComplete);
  }
}

const isComplete = ({ gpus, processes }: GpuSample): boolean => gpus !== null && processes !== null;

const benches: Bench[] = [];
afterEach(async () => {
  await Promise.all(benches.splice(0).map(async ({ probe }) => probe.stop()));
});

/** A probe's result while nothing is known. */
const UNKNOWN: GpuSample = { gpus: null, processes: null, processesReadAt: null };

const MIB_PER_GIB = 1_024;
const usedMib = (gpus: GpuSample["gpus"]): unknown =>
  gpus?.map(({ index, memoryUsedGib }) => [index, (memoryUsedGib ?? Number.NaN) * MIB_PER_GIB]);

const ONE = { processes: [{ pid: 4_242, memoryMiB: 6_100 }] };
const TWO = { gpus: [{ temperature: 83 }], processes: [{ pid: 4_242 }, { pid: 4_243 }] };

/** A program that prints these texts, each in one write, and nothing after that. */
function printing(texts: { readonly cards: string; readonly processes: string }): [string, ...string[]] {
  const script = `
    const { cards, processes } = ${JSON.stringify(texts)};
    process.stdout.write(process.argv.some((arg) => arg.includes("compute-apps")) ? processes : cards);
    setInterval(() => undefined, 60_000);
  `;
  return [process.execPath, "-e", script, "--"];
}

const cardLine = (index: number, usedMib: number): string =>
  `${index}, GPU-${index}, 24576, ${usedMib}, 0, 41, 28.41, NVIDIA GeForce RTX 3090\n`;

describe("a healthy box", () => {
  it("has its cards and processes read", async () => {
    const bench = new Bench(ONE);
    const { gpus, processes } = await bench.complete();
    expect(bench.problems).toEqual([]);
    expect(gpus).toEqual([
      {
        index: 0,
        uuid: "GPU-00000000-5a1d-4b7e-9c3f-0123456789ab",
        name: "NVIDIA GeForce RTX 3090",
        memoryTotalGib: 24,
        memoryUsedGib: 6_112 / MIB_PER_GIB,
        utilizationPercent: 0,
        temperatureC: 41,
        powerWatts: 28.41,
      },
    ]);
    expect(processes).toEqual([
      { pid: 4_242, memoryGib: 6_100 / MIB_PER_GIB, gpuUuid: "GPU-00000000-5a1d-4b7e-9c3f-0123456789ab" },
    ]);
  });

  it("has its figures returned until they are too old", async () => {
    let now = 5_000;
    const once = printing({ cards: cardLine(0, 6_112), processes: "7, 6100, GPU-0\n" });
    const { cardsMaxAgeMs, processesMaxAgeMs } = GPU_TIMINGS;
    const bench = new Bench({}, { cardsMaxAgeMs, processesMaxAgeMs }, once, () => now);
    await bench.complete();
    now += cardsMaxAgeMs - 1;
    expect(bench.probe.latest().gpus).toHaveLength(1);
    expect(bench.probe.latest().processesReadAt).toBe(5_000);
    now += 1;
    expect(bench.probe.latest().gpus).toBe(null);
    expect(bench.probe.latest().processes).toHaveLength(1);
    now = 5_000 + processesMaxAgeMs;
    expect(bench.probe.latest()).toMatchObject({ processes: null, processesReadAt: null });
  });

  it("has each process once, with its last figure, if several late reports are read at once", async () => {
    const late = printing({
      cards: [100, 200, 300].map((used) => cardLine(1, used) + cardLine(0, used)).join(""),
      processes: [100, 200, 300]
        .map((used) => `7, ${used}, GPU-0\n7, ${used}, GPU-1\n9, 50, GPU-1\n`)
        .join(""),
    });
    const { gpus, processes } = await new Bench({}, {}, late).complete();
    expect(processes).toEqual([
      { pid: 7, memoryGib: 300 / MIB_PER_GIB, gpuUuid: "GPU-0" },
      { pid: 7, memoryGib: 300 / MIB_PER_GIB, gpuUuid: "GPU-1" },
      { pid: 9, memoryGib: 50 / MIB_PER_GIB, gpuUuid: "GPU-1" },
    ]);
    expect(usedMib(gpus)).toEqual([
      [0, 300],
      [1, 300],
    ]);
  });

  it("has its changes read", async () => {
    const bench = new Bench(ONE);
    await bench.complete();
    bench.set(TWO);
    await bench.sample("the new temperature", ({ gpus }) => gpus?.[0]?.temperatureC === 83);
    await bench.sample("the second process", ({ processes }) => processes?.length === 2);
    expect(bench.problems).toEqual([]);
  });

  it("may have several cards and a process on two of them", async () => {
    const bench = new Bench({
      gpus: [{}, { name: "NVIDIA RTX A4000" }],
      processes: [
        { pid: 7, memoryMiB: 100, gpu: 0 },
        { pid: 7, memoryMiB: 200, gpu: 1 },
      ],
    });
    const { gpus, processes } = await bench.sample(
      "both",
      (sample) => sample.gpus?.length === 2 && sample.processes?.length === 2,
    );
    expect(usedMib(gpus)).toEqual([
      [0, 112],
      [1, 212],
    ]);
    expect(processes?.map(({ pid, memoryGib }) => [pid, memoryGib])).toEqual([
      [7, 100 / MIB_PER_GIB],
      [7, 200 / MIB_PER_GIB],
    ]);
  });

  it("has null for a figure that the driver can't report, never 0", async () => {
    const unknown = {
      memoryTotalMiB: null,
      memoryUsedMiB: null,
      utilization: null,
      temperature: null,
      powerDraw: null,
    };
    const { gpus, processes } = await new Bench({
      gpus: [unknown],
      processes: [{ pid: 9, memoryMiB: null }],
    }).complete();
    expect(gpus?.[0]).toMatchObject({
      memoryTotalGib: null,
      memoryUsedGib: null,
      utilizationPercent: null,
      temperatureC: null,
      powerWatts: null,
    });
    expect(processes).toEqual([expect.objectContaining({ pid: 9, memoryGib: null })]);
  });

  it("has an empty list if no process is on its cards", async () => {
    const bench = new Bench({}, { processesSilenceMs: 100 });
    const { processes } = await bench.sample("the empty list", ({ processes: list }) => list !== null);
    expect(processes).toEqual([]);
    // At most one more single query is running, and one alone restarts nothing.
    bench.timings.processesSilenceMs = NEVER_MS;
    bench.set(ONE);
    await bench.sample("a process", ({ processes: list }) => list?.length === 1);
    bench.timings.processesSilenceMs = 100;
    // The second process shows that a list was read with the new timing; if a single query read it, it is the first.
    bench.set(TWO);
    await bench.sample("a second process", ({ processes: list }) => list?.length === 2);
    bench.set({});
    await bench.sample("none again", ({ processes: list }) => list?.length === 0);
    expect(bench.problems).toEqual([]);
  });
});

describe("a box with a problem", () => {
  it("(no nvidia-smi) is reported once, and nvidia-smi is tried again", async () => {
    const bench = new Bench(ONE, {}, [join(folder, "nvidia-smi")]);
    await until(() => bench.problems.length > 0, "the problem");
    expect(bench.probe.latest()).toEqual(UNKNOWN);
    expect(bench.details).toEqual([{ kind: "missing" }]);
    writeFileSync(
      join(folder, "new"),
      `#!/bin/sh\nexec "${process.execPath}" --disable-warning=ExperimentalWarning "${SIMULATOR}" "$@"\n`,
      { mode: 0o755 },
    );
    // It must be complete from the start, because the probe may start it at any moment.
    renameSync(join(folder, "new"), join(folder, "nvidia-smi"));
    await bench.sample("the card", ({ gpus }) => gpus !== null);
    await until(() => bench.problems.includes("recovered"), "the recovery");
    expect(bench.problems).toEqual(["missing", "recovered"]);
  });

  it.each<[string, object, object]>([
    [
      "no driver",
      { noDriver: true },
      {
        kind: "exited",
        code: 9,
        output: expect.stringContaining("couldn't communicate with the NVIDIA driver") as string,
      },
    ],
    [
      "another error",
      { error: "No devices were found", exitCode: 6 },
      { kind: "exited", code: 6, output: "No devices were found" },
    ],
  ])("(%s) is reported once, with the cause, and read again afterwards", async (_, box, detail) => {
    const bench = new Bench(box);
    await until(() => bench.details.length > 0, "the problem");
    expect(bench.details[0]).toEqual(detail);
    expect(bench.probe.latest()).toEqual(UNKNOWN);
    bench.set(ONE);
    await bench.complete();
    await until(() => bench.problems.includes("recovered"), "the recovery");
    expect(bench.problems).toEqual(["exited", "recovered"]);
  });

  it("(nvidia-smi is killed) continues with another nvidia-smi", async () => {
    const bench = new Bench(ONE);
    await bench.complete();
    const killed = bench.probe.pids;
    expect(killed).toHaveLength(2);
    for (const pid of killed) process.kill(pid, "SIGKILL");
    await until(
      () => bench.probe.pids.length === 2 && !bench.probe.pids.some((pid) => killed.includes(pid)),
      "two other processes",
    );
    bench.set(TWO);
    const { gpus } = await bench.sample(
      "readings of the new processes",
      (sample) => sample.gpus?.[0]?.temperatureC === 83 && sample.processes?.length === 2,
    );
    expect(gpus).toHaveLength(1);
  });

  it("(nvidia-smi exits after each line) is reported once and keeps the last figures", async () => {
    const bench = new Bench({ ...ONE, exitAfterLines: 1, exitCode: 15 }, { recoveredAfterMs: 60_000 });
    await bench.sample("a card", ({ gpus }) => gpus !== null);
    const seen = new Set<number>();
    await until(() => {
      for (const pid of bench.probe.pids) seen.add(pid);
      return seen.size >= 5;
    }, "some restarts");
    expect(bench.probe.latest().gpus).toHaveLength(1);
    expect(bench.problems).toEqual(["exited"]);
  });

  it("(nvidia-smi hangs from the start) is reported; nvidia-smi is killed and nothing is known", async () => {
    const bench = new Bench({ hang: true }, SHORT_TIMEOUTS);
    const first = await until(
      () => (bench.probe.pids.length === 2 ? bench.probe.pids : null),
      "two processes",
    );
    await until(() => bench.problems.length > 0, "the problem");
    expect(bench.problems).toEqual(["silent"]);
    expect(bench.probe.latest()).toEqual(UNKNOWN);
    await until(() => first.every((pid) => !isAlive(pid)), "both to exit");
    bench.set(ONE);
    Object.assign(bench.timings, NO_TIMEOUTS);
    await bench.complete();
  });

  it("(nvidia-smi hangs later) drops the old figures and never reports an empty list", async () => {
    const bench = new Bench(ONE);
    await bench.complete();
    Object.assign(bench.timings, SHORT_TIMEOUTS);
    bench.set(TWO);
    // The silence is measured from a line on; on a slow machine it may be reported before the next line.
    await until(
      () => bench.probe.latest().gpus?.[0]?.temperatureC === 83 || bench.problems.includes("silent"),
      "the next line",
    );
    bench.set({ hang: true });
    Object.assign(bench.timings, SHORT_MAX_AGES);
    let emptied = false;
    await until(() => {
      const { gpus, processes } = bench.probe.latest();
      emptied ||= processes?.length === 0;
      return gpus === null && processes === null;
    }, "silence");
    await until(() => bench.problems.includes("silent"), "the problem");
    expect(emptied).toBe(false);
    bench.set(ONE);
    Object.assign(bench.timings, NO_TIMEOUTS);
    await bench.sample("both again", ({ gpus, processes }) => gpus !== null && processes?.length === 1);
  });

  it("(unreadable output) has nothing of it returned", async () => {
    const script = String.raw`while :; do printf '0, GPU-1, 24576, 12\n\0\1, what\n%09000d' 9; sleep 0.01; done`;
    const bench = new Bench({}, SHORT_TIMEOUTS, ["sh", "-c", script, "--"]);
    // Until it has printed anything it is silent.
    await until(() => bench.problems.includes("malformed"), "the problem");
    expect(bench.probe.latest()).toEqual(UNKNOWN);
  });
});

it("a stop kills every process, even one that hangs, and nothing is started after it", async () => {
  for (const box of [ONE, { hang: true }, {}]) {
    const bench = new Bench(box);
    const pids = await until(
      () => (bench.probe.pids.length === 2 ? bench.probe.pids : null),
      "two processes",
    );
    await bench.probe.stop();
    // A stop waits up to 2 s for them.
    await until(() => !pids.some(isAlive), "their exit");
    await until(() => bench.probe.pids.length === 0, "their exit to be noticed");
  }
});
