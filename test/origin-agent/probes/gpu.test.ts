// The probe against the simulated nvidia-smi, a program of its own, with each of its faults.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { GPU_PACES, GpuProbe, type GpuPaces, type GpuReading } from "../../../origin-agent/probes/gpu.ts";
import type { ProgramProblem } from "../../../origin-agent/probes/line-program.ts";
import { isAlive } from "./is-alive.ts";
import { until } from "../../support/until.ts";

const SIMULATOR = fileURLToPath(new URL("../../sim/nvidia-smi.ts", import.meta.url));
const COMMAND = [process.execPath, "--disable-warning=ExperimentalWarning", SIMULATOR] as const;

/** Longer than any test runs: what waits for it never comes. */
const NEVER_MS = 3_600_000;

const PACES: GpuPaces = {
  ...GPU_PACES,
  gpuEvery: 50,
  processEvery: 50,
  // Starting the simulator takes a while on a busy machine; the wait is short only in tests of what hangs.
  silence: NEVER_MS,
  processSilence: NEVER_MS,
  singleLook: NEVER_MS,
  reportQuiet: 25,
  firstPause: 20,
  longestPause: 100,
  missingPause: 50,
  wellAfter: 100,
  gpuStale: NEVER_MS,
  processStale: NEVER_MS,
};
const IMPATIENT: Partial<GpuPaces> = { silence: 1_500, processSilence: 500, singleLook: 1_500 };
const FORGETFUL: Partial<GpuPaces> = { gpuStale: 500, processStale: 500 };
/** What hung answers again: from its next start on it has all the time it needs. */
const PATIENT: Partial<GpuPaces> = {
  silence: NEVER_MS,
  processSilence: NEVER_MS,
  singleLook: NEVER_MS,
  gpuStale: NEVER_MS,
  processStale: NEVER_MS,
};

const folder = mkdtempSync(join(tmpdir(), "gpu-probe-"));
afterAll(() => rmSync(folder, { recursive: true }));

class Bench {
  readonly problems: (ProgramProblem["kind"] | "well")[] = [];
  readonly details: ProgramProblem[] = [];
  /** Read by the probe at each use, but for the intervals between reports. */
  readonly paces: { -readonly [Pace in keyof GpuPaces]: number };
  readonly probe: GpuProbe;
  readonly #file: string;

  constructor(
    box: unknown,
    paces: Partial<GpuPaces> = {},
    command: readonly [string, ...string[]] = COMMAND,
    clock = (): number => performance.now(),
  ) {
    this.paces = { ...PACES, ...paces };
    this.#file = join(folder, `${Math.random()}.json`);
    this.set(box);
    this.probe = new GpuProbe({
      command,
      env: { NVIDIA_SMI_SIM: this.#file },
      onProblem: (problem) => {
        this.problems.push(problem?.kind ?? "well");
        if (problem !== null) this.details.push(problem);
      },
      clock,
      paces: this.paces,
    });
    benches.push(this);
    this.probe.start();
  }

  /** The box from now on. */
  set(box: unknown): void {
    writeFileSync(`${this.#file}.new`, JSON.stringify(box));
    renameSync(`${this.#file}.new`, this.#file);
  }

  async reading(what: string, wanted: (reading: GpuReading) => boolean): Promise<GpuReading> {
    return until(() => {
      const reading = this.probe.latest();
      return wanted(reading) ? reading : null;
    }, what);
  }
}

const benches: Bench[] = [];
afterEach(async () => {
  await Promise.all(benches.splice(0).map(async ({ probe }) => probe.stop()));
});

const ONE = { processes: [{ pid: 4_242, memoryMiB: 6_100 }] };
const TWO = { gpus: [{ temperature: 83 }], processes: [{ pid: 4_242 }, { pid: 4_243 }] };

/** A program that prints these texts, each in one write, and then nothing more. */
function printing(texts: { readonly cards: string; readonly processes: string }): [string, ...string[]] {
  const script = `
    const { cards, processes } = ${JSON.stringify(texts)};
    process.stdout.write(process.argv.some((arg) => arg.includes("compute-apps")) ? processes : cards);
    setInterval(() => undefined, 60_000);
  `;
  return [process.execPath, "-e", script, "--"];
}

const cardLine = (index: number, usedMib: number): string =>
  `${index}, GPU-${index}, 24576, ${usedMib}, 0, 41, 28.41, 350.00, NVIDIA GeForce RTX 3090\n`;

describe("a box that is well", () => {
  it("is read with its cards and processes", async () => {
    const { gpus, problem, available, processes } = await new Bench(ONE).reading(
      "both",
      (reading) => reading.available && reading.processes !== null,
    );
    expect(available).toBe(true);
    expect(problem).toBe(null);
    expect(gpus).toEqual([
      {
        index: 0,
        uuid: "GPU-00000000-5a1d-4b7e-9c3f-0123456789ab",
        name: "NVIDIA GeForce RTX 3090",
        memoryTotalMib: 24_576,
        memoryUsedMib: 6_112,
        utilizationPercent: 0,
        temperatureC: 41,
        powerWatts: 28.41,
        powerLimitWatts: 350,
      },
    ]);
    expect(processes).toEqual([
      { pid: 4_242, memoryMib: 6_100, gpuUuid: "GPU-00000000-5a1d-4b7e-9c3f-0123456789ab" },
    ]);
  });

  it("is known with the age of its figures, until they are stale", async () => {
    let now = 5_000;
    const once = printing({ cards: cardLine(0, 6_112), processes: "7, 6100, GPU-0\n" });
    const { gpuStale, processStale } = GPU_PACES;
    const bench = new Bench({}, { gpuStale, processStale }, once, () => now);
    await bench.reading("both", (reading) => reading.available && reading.processes !== null);
    now += 700;
    expect(bench.probe.latest()).toMatchObject({ gpusAgeMs: 700, processesReadAt: 5_000 });
    now = 5_000 + gpuStale;
    expect(bench.probe.latest()).toMatchObject({ available: false, gpus: null, gpusAgeMs: null });
    expect(bench.probe.latest().processes).toHaveLength(1);
    now = 5_000 + processStale;
    expect(bench.probe.latest()).toMatchObject({ processes: null, processesReadAt: null });
  });

  it("has each process once, with its last figure, if several late rounds of the list are read at once", async () => {
    const late = printing({
      cards: [100, 200, 300].map((used) => cardLine(1, used) + cardLine(0, used)).join(""),
      processes: [100, 200, 300]
        .map((used) => `7, ${used}, GPU-0\n7, ${used}, GPU-1\n9, 50, GPU-1\n`)
        .join(""),
    });
    const { gpus, processes } = await new Bench({}, {}, late).reading(
      "both",
      (reading) => reading.available && reading.processes !== null,
    );
    expect(processes).toEqual([
      { pid: 7, memoryMib: 300, gpuUuid: "GPU-0" },
      { pid: 7, memoryMib: 300, gpuUuid: "GPU-1" },
      { pid: 9, memoryMib: 50, gpuUuid: "GPU-1" },
    ]);
    expect(gpus?.map(({ index, memoryUsedMib }) => [index, memoryUsedMib])).toEqual([
      [0, 300],
      [1, 300],
    ]);
  });

  it("is followed as it changes", async () => {
    const bench = new Bench(ONE);
    await bench.reading("both", (reading) => reading.available && reading.processes !== null);
    bench.set(TWO);
    await bench.reading("the heat", ({ gpus }) => gpus?.[0]?.temperatureC === 83);
    await bench.reading("the second process", ({ processes }) => processes?.length === 2);
    expect(bench.problems).toEqual([]);
  });

  it("may have several cards, and one process on two of them", async () => {
    const bench = new Bench({
      gpus: [{}, { name: "NVIDIA RTX A4000" }],
      processes: [
        { pid: 7, memoryMiB: 100, gpu: 0 },
        { pid: 7, memoryMiB: 200, gpu: 1 },
      ],
    });
    const { gpus, processes } = await bench.reading(
      "both",
      (reading) => reading.gpus?.length === 2 && reading.processes?.length === 2,
    );
    expect(gpus?.map(({ index, memoryUsedMib }) => [index, memoryUsedMib])).toEqual([
      [0, 112],
      [1, 212],
    ]);
    expect(processes?.map(({ pid, memoryMib }) => [pid, memoryMib])).toEqual([
      [7, 100],
      [7, 200],
    ]);
  });

  it("that can't tell a figure has null for it, never 0", async () => {
    const unknown = {
      memoryTotalMiB: null,
      memoryUsedMiB: null,
      utilization: null,
      temperature: null,
      powerDraw: null,
      powerLimit: null,
    };
    const { gpus, processes } = await new Bench({
      gpus: [unknown],
      processes: [{ pid: 9, memoryMiB: null }],
    }).reading("both", (reading) => reading.available && reading.processes !== null);
    expect(gpus?.[0]).toMatchObject({
      memoryTotalMib: null,
      memoryUsedMib: null,
      utilizationPercent: null,
      temperatureC: null,
      powerWatts: null,
      powerLimitWatts: null,
    });
    expect(processes).toEqual([expect.objectContaining({ pid: 9, memoryMib: null })]);
  });

  it("with no process on its cards is known to have none", async () => {
    const bench = new Bench({}, { processSilence: 100 });
    const { processes } = await bench.reading("the empty list", (reading) => reading.processes !== null);
    expect(processes).toEqual([]);
    // At most one more single look is under way, and one alone restarts nothing.
    bench.paces.processSilence = NEVER_MS;
    bench.set(ONE);
    await bench.reading("a process", (reading) => reading.processes?.length === 1);
    bench.paces.processSilence = 100;
    // Seen, it tells that a list was read by the new pace; a single look that saw it is the first.
    bench.set(TWO);
    await bench.reading("a second process", (reading) => reading.processes?.length === 2);
    bench.set({});
    await bench.reading("none again", (reading) => reading.processes?.length === 0);
    expect(bench.problems).toEqual([]);
  });
});

describe("a box in trouble", () => {
  it("without nvidia-smi says so once, and goes on looking", async () => {
    const bench = new Bench(ONE, {}, [join(folder, "nvidia-smi")]);
    await until(() => bench.problems.length > 0, "the word");
    const { available, gpus, processes, problem, gpusAgeMs } = bench.probe.latest();
    expect({ available, gpus, processes, gpusAgeMs }).toEqual({
      available: false,
      gpus: null,
      processes: null,
      gpusAgeMs: null,
    });
    expect(problem).toEqual({ kind: "missing" });
    writeFileSync(
      join(folder, "new"),
      `#!/bin/sh\nexec "${process.execPath}" --disable-warning=ExperimentalWarning "${SIMULATOR}" "$@"\n`,
      { mode: 0o755 },
    );
    // Whole from the first moment: the probe may start it at any.
    renameSync(join(folder, "new"), join(folder, "nvidia-smi"));
    await bench.reading("the card", (reading) => reading.available);
    await until(() => bench.problems.includes("well"), "that it is well");
    expect(bench.problems).toEqual(["missing", "well"]);
  });

  it.each<[string, object, object]>([
    [
      "whose driver is gone",
      { noDriver: true },
      {
        kind: "ended",
        code: 9,
        words: expect.stringContaining("couldn't communicate with the NVIDIA driver") as string,
      },
    ],
    [
      "with another error",
      { error: "No devices were found", exitCode: 6 },
      { kind: "ended", code: 6, words: "No devices were found" },
    ],
  ])("%s says why, once, and is read again when that is over", async (_, box, detail) => {
    const bench = new Bench(box);
    await until(() => bench.details.length > 0 && bench.probe.latest().problem !== null, "the word");
    expect(bench.details[0]).toEqual(detail);
    expect(bench.probe.latest()).toMatchObject({ available: false, gpus: null, processes: null });
    bench.set(ONE);
    await bench.reading("both", (reading) => reading.available && reading.processes !== null);
    await until(() => bench.problems.includes("well"), "that it is well");
    expect(bench.problems).toEqual(["ended", "well"]);
  });

  it("where nvidia-smi is killed goes on with another", async () => {
    const bench = new Bench(ONE);
    await bench.reading("both", (reading) => reading.available && reading.processes !== null);
    const killed = bench.probe.pids;
    expect(killed).toHaveLength(2);
    for (const pid of killed) process.kill(pid, "SIGKILL");
    await until(
      () => bench.probe.pids.length === 2 && !bench.probe.pids.some((pid) => killed.includes(pid)),
      "two others",
    );
    await bench.reading("both again", (reading) => reading.problem === null && reading.processes !== null);
    expect(bench.probe.latest().gpus).toHaveLength(1);
  });

  it("where nvidia-smi ends after each line says so once, and its last figures stand", async () => {
    const bench = new Bench({ ...ONE, exitAfterLines: 1, exitCode: 15 }, { wellAfter: 60_000 });
    await bench.reading("a card", (reading) => reading.available);
    const seen = new Set<number>();
    await until(() => {
      for (const pid of bench.probe.pids) seen.add(pid);
      return seen.size >= 5;
    }, "some restarts");
    expect(bench.probe.latest().gpus).toHaveLength(1);
    expect(bench.problems).toEqual(["ended"]);
  });

  it("where nvidia-smi hangs from the start tells it, ends it, and knows nothing", async () => {
    const bench = new Bench({ hang: true }, IMPATIENT);
    const first = await until(
      () => (bench.probe.pids.length === 2 ? bench.probe.pids : null),
      "two processes",
    );
    await until(() => bench.problems.length > 0, "the word");
    expect(bench.problems).toEqual(["silent"]);
    expect(bench.probe.latest()).toMatchObject({ available: false, gpus: null, processes: null });
    await until(() => first.every((pid) => !isAlive(pid)), "both ended");
    bench.set(ONE);
    Object.assign(bench.paces, PATIENT);
    await bench.reading("both", (reading) => reading.available && reading.processes !== null);
  });

  it("where nvidia-smi hangs later forgets the old figures, and never says that no process is there", async () => {
    const bench = new Bench(ONE);
    await bench.reading("both", (reading) => reading.available && reading.processes !== null);
    Object.assign(bench.paces, IMPATIENT);
    bench.set(TWO);
    // The time for silence counts from a line on; a machine that is late with it has made it silent already.
    await until(
      () => bench.probe.latest().gpus?.[0]?.temperatureC === 83 || bench.problems.includes("silent"),
      "a line after that",
    );
    bench.set({ hang: true });
    Object.assign(bench.paces, FORGETFUL);
    let emptied = false;
    await until(() => {
      const reading = bench.probe.latest();
      emptied ||= reading.processes?.length === 0;
      return !reading.available && reading.processes === null;
    }, "silence");
    await until(() => bench.problems.includes("silent"), "the word");
    expect(emptied).toBe(false);
    bench.set(ONE);
    Object.assign(bench.paces, PATIENT);
    await bench.reading("both again", (reading) => reading.available && reading.processes?.length === 1);
  });

  it("where garbage comes keeps none of it", async () => {
    const script = String.raw`while :; do printf '0, GPU-1, 24576, 12\n\0\1, what\n%09000d' 9; sleep 0.01; done`;
    const bench = new Bench({}, IMPATIENT, ["sh", "-c", script, "--"]);
    // Before it has printed anything it is silent.
    await until(() => bench.problems.includes("garbage"), "the word");
    expect(bench.probe.latest()).toMatchObject({ available: false, gpus: null, processes: null });
  });
});

it("a stop ends every process, also one that hangs, and nothing is started after it", async () => {
  for (const box of [ONE, { hang: true }, {}]) {
    const bench = new Bench(box);
    const pids = await until(
      () => (bench.probe.pids.length === 2 ? bench.probe.pids : null),
      "two processes",
    );
    await bench.probe.stop();
    // A stop waits 2 s for them and no longer.
    await until(() => !pids.some(isAlive), "their end");
    await until(() => bench.probe.pids.length === 0, "their end to be known");
  }
});
