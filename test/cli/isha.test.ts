// The real program in its own process: exit codes, streams, signals.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { until } from "../support/until.ts";
import { ADMIN_KEY, AdminService } from "./support/admin-service.ts";
import { reservePorts } from "./support/reserved-ports.ts";
import { runHere, runProgram } from "./support/run-isha.ts";

const STARTER = fileURLToPath(new URL("../../cli/isha.cjs", import.meta.url));
const service = new AdminService();
let env: Record<string, string>;
beforeAll(async () => {
  env = { ISHA_URL: await service.start(), ISHA_ADMIN_KEY: ADMIN_KEY };
});
afterAll(() => service.stop());
beforeEach(() => service.reset());

describe("isha", () => {
  it("exits with 0 and an empty stderr on success", async () => {
    service.addKey({ id: "3fA9kQ2mXw7b" });
    const ran = await runProgram(["keys", "show", "3fA9kQ2mXw7b", "--json"], { env });
    expect({ ...ran, out: JSON.parse(ran.out) as unknown }).toEqual({
      code: 0,
      out: service.keys.get("3fA9kQ2mXw7b"),
      err: "",
    });
  });

  it("exits with 1 if the service refuses, 2 on wrong usage, 3 if it isn't reachable; stdout stays empty", async () => {
    const reserved = await reservePorts(1);
    const nowhere = `http://127.0.0.1:${reserved.ports[0]}`;
    const [refused, mistyped, unreachable] = await Promise.all([
      runProgram(["keys", "show", "unknown00001"], { env }),
      runProgram(["kyes"], { env }),
      runProgram(["keys", "list"], { env: { ...env, ISHA_URL: nowhere } }),
    ]);
    await reserved.release();
    expect([refused, mistyped, unreachable].map(({ code, out }) => [code, out])).toEqual([
      [1, ""],
      [2, ""],
      [3, ""],
    ]);
    expect(mistyped.err).toContain("(Did you mean keys?)");
    expect(unreachable.err).toContain(`Nothing listens at ${nowhere}.`);
  });

  it("has help with examples on every command", async () => {
    const commands = [
      "keys bootstrap",
      "keys create",
      "keys list",
      "keys show",
      "keys change",
      "keys revoke",
      "keys rotate",
      "usage",
      "audit",
      "why",
      "status",
      "box drain",
      "box resume",
      "box restart",
      "alerts test",
    ];
    for (const command of commands) {
      const { code, out } = await runHere([...command.split(" "), "--help"]);
      expect(code, command).toBe(0);
      expect(out, command).toContain(`Examples, in a clone:\n  $ npm run -s isha -- ${command}`);
      expect(out, command).toContain("--json");
    }
    const [help, nothing] = await Promise.all([runProgram(["--help"]), runProgram([])]);
    expect([help.code, nothing.code]).toEqual([0, 2]);
    expect(help.out).toContain("Exit codes:  0 done");
  });

  it("prints no colours if stdout is not a terminal", async () => {
    service.addKey({ id: "3fA9kQ2mXw7b" });
    const { out } = await runProgram(["keys", "list"], { env: { ...env, FORCE_COLOR: "1" } });
    expect(out).toContain("3fA9kQ2mXw7b");
    expect(out).not.toContain("\u001b");
  });

  it("refuses to revoke without a confirmation if stdin is not a terminal", async () => {
    service.addKey({ id: "3fA9kQ2mXw7b" });
    expect((await runProgram(["keys", "revoke", "3fA9kQ2mXw7b"], { env })).code).toBe(2);
    expect(service.keys.get("3fA9kQ2mXw7b")?.state).toBe("active");
  });

  it("whose reader has closed the pipe (| head) ends without a crash", async () => {
    service.page = 1_000;
    for (let count = 0; count < 1_000; count += 1)
      service.addKey({ id: `key${count}0000`, name: "x".repeat(100) });
    const child = spawn(process.execPath, [STARTER, "keys", "list"], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.stdout.destroy();
    let err = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (err += chunk));
    const [code] = (await once(child, "close")) as [number | null];
    expect(code).toBe(0);
    expect(err).not.toMatch(/EPIPE|Error| at /);
  });

  it("on Ctrl-C stops waiting, reports it and exits with 130", async () => {
    service.fault = { silent: true };
    const child = spawn(process.execPath, [STARTER, "keys", "rotate", "3fA9kQ2mXw7b"], {
      env,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let err = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (err += chunk));
    await until(() => service.requests.length === 1);
    child.kill("SIGINT");
    const [code] = (await once(child, "close")) as [number | null];
    expect(code).toBe(130);
    expect(err).toContain("Interrupted. The change may have been made");
  });

  it("through its starter passes on arguments, output and exit code", async () => {
    service.addKey({ id: "3fA9kQ2mXw7b" });
    const [listed, refused] = await Promise.all([
      runProgram(["keys", "list"], { env, program: STARTER }),
      runProgram(["keys", "show", "unknown00001"], { env, program: STARTER }),
    ]);
    expect([listed.code, refused.code]).toEqual([0, 1]);
    expect(listed.out).toContain("Riverside Clinic");
  });

  it("reads the service's address from another fleet file, and reports what is wrong with it", async () => {
    const ran = await runProgram(["keys", "list"], {
      env: { ISHA_ADMIN_KEY: ADMIN_KEY, ISHA_FLEET: "/nonexistent/fleet.ts" },
    });
    expect(ran.code).toBe(2);
    expect(ran.err).toContain("The fleet file can't be read");
  });
});
