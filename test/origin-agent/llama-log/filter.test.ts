// The filter as a program, between a server and a log that may not be read.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { until } from "../../support/until.ts";
import { FAILURES, MARK, MODEL, PASSING, PLAIN_DAY } from "../support/llama-log.ts";

const PROGRAM = fileURLToPath(new URL("../../../origin-agent/llama-log/filter.ts", import.meta.url));

const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
});

function filter(environment: NodeJS.ProcessEnv = {}): ChildProcess {
  const args = [PROGRAM, "llama-server", "--port", "9101", "-m", MODEL, "--alias", "tiny.gguf"];
  const child = spawn(process.execPath, args, {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, ...environment },
  });
  started.push(child);
  return child;
}

describe("the log filter", () => {
  it("passes known lines, counts the rest, and exits at the end of its input", async () => {
    const child = filter();
    const out: Buffer[] = [];
    child.stdout?.on("data", (chunk: Buffer) => out.push(chunk));
    child.stdin?.end(`${PLAIN_DAY}${FAILURES.join("\n")}\n`);
    const [code] = (await once(child, "close")) as [number | null];
    const text = Buffer.concat(out).toString();
    expect(code).toBe(0);
    const passing = PLAIN_DAY.split(/(?<=\n)/).filter((line) => PASSING.includes(line));
    expect(text.replace(/^\(… \d+ lines? withheld\)\n/gm, "").startsWith(passing.join(""))).toBe(true);
    expect(text).not.toContain(MARK);
    expect(text).toMatch(/\(… \d+ lines withheld\)\n$/);
  });

  it("ignores signals until its server has exited", async () => {
    const child = filter();
    const out: Buffer[] = [];
    child.stdout?.on("data", (chunk: Buffer) => out.push(chunk));
    child.stdin?.write("main: loading model\n");
    await once(child.stdout ?? child, "data");
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) child.kill(signal);
    // A process receives signals before it continues to read.
    child.stdin?.write("main: model loaded\n");
    await until(() => Buffer.concat(out).toString() === "main: loading model\nmain: model loaded\n");
    child.stdin?.end();
    expect(await once(child, "close")).toEqual([0, null]);
  });

  it("reads all output while the log isn't read, and reports how much it dropped", async () => {
    const child = filter();
    child.stdout?.pause();
    const line = Buffer.from("0.00.140.599 I load_tensors:   CPU_Mapped model buffer size =    32.50 MiB\n");
    const megabyte = Buffer.concat(Array.from({ length: Math.ceil(1_048_576 / line.length) }, () => line));
    // A filter that waited for the log's reader would never read all of it.
    for (let sent = 0; sent < 8; sent += 1) {
      if (child.stdin?.write(megabyte) === false) await once(child.stdin, "drain");
    }
    const out: Buffer[] = [];
    child.stdout?.on("data", (chunk: Buffer) => out.push(chunk));
    child.stdout?.resume();
    const text = (): string => Buffer.concat(out).toString();
    const passed = (): number => text().match(/^.* load_tensors: .*\n/gm)?.length ?? 0;
    const dropped = (): number =>
      [...text().matchAll(/\(… (\d+) lines dropped/g)].reduce((sum, [, lines]) => sum + Number(lines), 0);
    // It exits up to 2 s after its server, so the server exits only when every line is accounted for.
    const total = (megabyte.length / line.length) * 8;
    await until(() => passed() + dropped() >= total, "every line passed or counted as dropped");
    expect(dropped()).toBeGreaterThan(50_000);
    child.stdin?.end();
    await once(child, "close");
    expect(passed() + dropped()).toBe(total);
  });

  it("appends the server's last lines to PM2's log file, which PM2 has closed by then", async () => {
    const folder = mkdtempSync(join(tmpdir(), "isha-log-"));
    const file = join(folder, "out.log");
    const child = filter({ pm_out_log_path: file });
    const out: Buffer[] = [];
    child.stdout?.on("data", (chunk: Buffer) => out.push(chunk));
    child.stdin?.write("main: loading model\n");
    await once(child.stdout ?? child, "data");
    expect(existsSync(file)).toBe(false);
    // The last lines and the end are there before the filter continues, however slow this machine is.
    child.kill("SIGSTOP");
    await new Promise<void>((resolve) => child.stdin?.end(`CUDA error: out of memory\n${MARK}\n`, resolve));
    child.kill("SIGCONT");
    await once(child, "close");
    const last = "CUDA error: out of memory\n(… 1 line withheld)\n";
    expect(Buffer.concat(out).toString()).toBe(`main: loading model\n${last}`);
    expect(readFileSync(file, "utf8").replace(/^[\d-]+T[\d:.]+Z: /gm, "")).toBe(last);
    rmSync(folder, { recursive: true });
  });

  it("continues to read if the log's reader has exited", async () => {
    const child = filter();
    child.stdout?.destroy();
    // Far more than the pipe can hold, so the filter must have read it.
    await new Promise((resolve) => child.stdin?.write(PLAIN_DAY.repeat(1_000), resolve));
    expect([child.exitCode, child.signalCode]).toEqual([null, null]);
    child.stdin?.end();
    const [code] = (await once(child, "close")) as [number | null];
    expect(code).toBe(0);
  });
});
