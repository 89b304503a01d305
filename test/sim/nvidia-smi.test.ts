// The simulated nvidia-smi prints what the real one prints, as far as our probes read it.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, it, vi } from "vitest";
import { runSmi } from "./nvidia/program.ts";

const PROGRAM = fileURLToPath(new URL("nvidia-smi.ts", import.meta.url));

interface Run {
  out: string;
  code: number | null;
}

function start(args: string[], switches: unknown): ReturnType<typeof spawn> {
  const given = typeof switches === "string" ? switches : JSON.stringify(switches);
  return spawn(process.execPath, ["--disable-warning=ExperimentalWarning", PROGRAM, ...args], {
    env: { ...process.env, NVIDIA_SMI_SIM: given },
    stdio: ["ignore", "pipe", "inherit"],
  });
}

async function runProgram(args: string[], switches: unknown = {}): Promise<Run> {
  const child = start(args, switches);
  let out = "";
  child.stdout?.on("data", (part: Buffer) => (out += part.toString("utf8")));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { out, code };
}

class Exited extends Error {
  readonly exitCode: number;
  constructor(exitCode: number) {
    super(`exited with ${exitCode}`);
    this.exitCode = exitCode;
  }
}

/** One report without a process of its own. */
function run(args: string[], switches: unknown = {}): Run {
  let out = "";
  try {
    runSmi(args, {
      switches: JSON.stringify(switches),
      print: (text) => (out += text),
      exit: (code) => {
        throw new Exited(code);
      },
    });
  } catch (error) {
    if (!(error instanceof Exited)) throw error;
    return { out, code: error.exitCode };
  }
  return { out, code: 0 };
}

const ALL =
  "index,name,uuid,driver_version,memory.total,memory.used,memory.free,utilization.gpu,utilization.memory," +
  "temperature.gpu,power.draw,power.limit,fan.speed,clocks.sm,pstate";

it("prints a GPU as CSV, with units and headers or without", () => {
  const full = run([`--query-gpu=${ALL}`, "--format=csv"]);
  expect(full.code).toBe(0);
  expect(full.out).toBe(
    "index, name, uuid, driver_version, memory.total [MiB], memory.used [MiB], memory.free [MiB], " +
      "utilization.gpu [%], utilization.memory [%], temperature.gpu, power.draw [W], power.limit [W], " +
      "fan.speed [%], clocks.current.sm [MHz], pstate\n" +
      "0, NVIDIA GeForce RTX 3090, GPU-00000000-5a1d-4b7e-9c3f-0123456789ab, 570.153.02, 24576 MiB, 12 MiB, " +
      "24564 MiB, 0 %, 0 %, 41, 28.41 W, 350.00 W, 30 %, 210 MHz, P8\n",
  );
  const bare = run(["--query-gpu=index,memory.used,power.draw", "--format=csv,noheader,nounits"]);
  expect(bare.out).toBe("0, 12, 28.41\n");
  const stamped = run(["--query-gpu=timestamp", "--format=csv,noheader"]);
  expect(stamped.out).toMatch(/^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d\.\d{3}\n$/);
});

it("prints several GPUs, their processes, and [N/A] for unknown values", () => {
  const box = {
    gpus: [{}, { name: "NVIDIA RTX A4000", utilization: null, memoryUsedMiB: null, fan: null }],
    processes: [
      { pid: 4_242, memoryMiB: 6_100 },
      { pid: 77, memoryMiB: null, gpu: 1 },
    ],
  };
  const fields = "index,memory.used,memory.free,utilization.gpu,fan.speed";
  const gpus = run([`--query-gpu=${fields}`, "--format=csv,noheader"], box);
  expect(gpus.out).toBe("0, 6112 MiB, 18464 MiB, 0 %, 30 %\n1, [N/A], [N/A], [N/A], [N/A]\n");
  const apps = run(["--query-compute-apps=gpu_uuid,pid,process_name,used_memory", "--format=csv"], box);
  expect(apps.out).toBe(
    "gpu_uuid, pid, process_name, used_gpu_memory [MiB]\n" +
      "GPU-00000000-5a1d-4b7e-9c3f-0123456789ab, 4242, /usr/local/bin/llama-server, 6100 MiB\n" +
      "GPU-00000001-5a1d-4b7e-9c3f-0123456789ab, 77, /usr/local/bin/llama-server, [N/A]\n",
  );
});

it("prints a table without arguments", () => {
  const { out, code } = run([], { processes: [{ pid: 4_242 }] });
  expect(code).toBe(0);
  expect(out).toContain(
    "| NVIDIA-SMI 570.153.02             Driver Version: 570.153.02     CUDA Version: 12.8     |",
  );
  expect(out).toContain("|   0  NVIDIA GeForce RTX 3090        Off |");
  expect(out).toMatch(/4242 {6}C {3}\/usr\/local\/bin\/llama-server +6800MiB/);
  const widths = new Set(
    out
      .split("\n")
      .filter((line) => /^[+|]/.test(line))
      .map((line) => line.length),
  );
  expect([...widths]).toEqual([91]);
});

it("refuses a field it doesn't know in the real words", () => {
  const { out, code } = run(["--query-gpu=index,x", "--format=csv"]);
  expect(out.trim()).toBe('Field "x" is not a valid field to query.');
  expect(code).toBe(2);
});

it("fails if the driver is gone, or as switched", () => {
  const gone = run(["--query-gpu=index", "--format=csv"], { noDriver: true });
  expect(gone.out).toMatch(/^NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver\./);
  expect(gone.code).toBe(9);
  const failed = run(["--query-gpu=index", "--format=csv"], {
    error: "No devices were found",
    exitCode: 6,
  });
  expect(failed).toEqual({ out: "No devices were found\n", code: 6 });
});

it("reports again and again, with the header once, and ends after so many lines", async () => {
  const { out, code } = await runProgram(["--query-gpu=index", "--format=csv", "-lms", "10"], {
    exitAfterLines: 4,
    exitCode: 15,
  });
  expect(out).toBe("index\n0\n0\n0\n");
  expect(code).toBe(15);
});

it("ends with the status of its error, as a process", async () => {
  const gone = await runProgram(["--query-gpu=index", "--format=csv"], { noDriver: true });
  expect(gone).toEqual({ out: expect.stringMatching(/^NVIDIA-SMI has failed/) as string, code: 9 });
});

it("hangs, neither printing anything nor ending", async () => {
  const args = ["--query-gpu=index", "--format=csv", "-lms", "10"];
  const child = start(args, { hang: true });
  let out = "";
  child.stdout?.on("data", (part: Buffer) => (out += part.toString("utf8")));
  vi.useFakeTimers();
  let printed = "";
  const exit = (): never => expect.unreachable();
  runSmi(args, { switches: '{"hang":true}', print: (text) => (printed += text), exit });
  vi.advanceTimersByTime(600_000);
  expect([printed, vi.getTimerCount() > 0]).toEqual(["", true]);
  vi.useRealTimers();
  expect((await runProgram(["--query-gpu=index", "--format=csv"])).code).toBe(0);
  expect([out, child.exitCode, child.signalCode]).toEqual(["", null, null]);
  child.kill("SIGKILL");
});

it("reads a file of switches again for each report", async () => {
  const folder = mkdtempSync(join(tmpdir(), "nvidia-smi-"));
  const file = join(folder, "box.json");
  const write = (box: unknown): void => writeFileSync(file, JSON.stringify(box));
  write({ gpus: [{ temperature: 83 }] });
  const child = start(["--query-gpu=temperature.gpu", "--format=csv,noheader", "-lms", "10"], file);
  const lines = createInterface({ input: child.stdout ?? process.stdin })[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe("83");
  write({ gpus: [{ temperature: null }] });
  let line: unknown = "83";
  while (line === "83") line = (await lines.next()).value;
  expect(line).toBe("[N/A]");
  child.kill("SIGKILL");
  rmSync(folder, { recursive: true });
});

it("lists its cards for -L, and fails if there is no driver, as launch-llama.sh expects", () => {
  expect(run(["-L"])).toEqual({
    out: "GPU 0: NVIDIA GeForce RTX 3090 (UUID: GPU-00000000-5a1d-4b7e-9c3f-0123456789ab)\n",
    code: 0,
  });
  expect(run(["-L"], { noDriver: true }).code).toBe(9);
});
