// The first command of a fresh clone: which Node it accepts, when it installs, and two of it at once.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import bootstrap from "../../scripts/bootstrap.cjs";
import install from "../../scripts/install/install.cjs";
import lock from "../../scripts/install/lock.cjs";
import { until } from "../support/until.ts";

const run = promisify(execFile);
const BOOTSTRAP = resolve("scripts/bootstrap.cjs");

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "isha-bootstrap-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("an old Node", () => {
  it("gets one sentence that says what there is, what is needed and what to do, and exit code 1", async () => {
    const fake = join(folder, "fake.cjs");
    await writeFile(fake, 'Object.defineProperty(process, "version", { value: "v18.19.1" });');
    const ended = await run(process.execPath, ["--require", fake, BOOTSTRAP, "start"]).catch(
      (error: { code: number; stdout: string; stderr: string }) => error,
    );
    expect(ended).toMatchObject({ code: 1, stdout: "" });
    expect(ended.stderr).toMatch(
      /^This is Node v18\.19\.1, and Node 20 or newer is needed: install one .+\.\n$/,
    );
  });

  it.each(["v8.17.0", "v0.12.18", "v19.9.0"])("%s is refused", (version) => {
    expect(bootstrap.versionComplaint(version)).toContain(version);
  });

  it.each(["v20.0.0", "v24.21.0", "v100.1.0"])("%s will do", (version) => {
    expect(bootstrap.versionComplaint(version)).toBeNull();
  });

  it("can read the bootstrap to its end: it keeps to ES5", async () => {
    const code = (await readFile(BOOTSTRAP, "utf8")).replaceAll(/\/\/.*|\/\*[^]*?\*\/|"[^"]*"/g, "");
    expect(code).not.toMatch(/=>|\b(let|const|class|async|await|import)\b|[`?]\.|\.{3}|`/);
  });
});

describe("what to run", () => {
  it("names what there is when asked for something else", async () => {
    const ended = await run(process.execPath, [BOOTSTRAP, "toString"]).catch(
      (error: { code: number; stderr: string }) => error,
    );
    expect(ended).toMatchObject({ code: 1 });
    expect(ended.stderr).toContain('no script "toString"; there are: start, test, check');
  });
});

describe("whether to install", () => {
  const lockText = (version: string): string =>
    JSON.stringify({
      packages: {
        "": { version: "0.1.0" },
        "node_modules/a": { version, integrity: "sha512-a" },
        "node_modules/only-elsewhere": { version: "1.0.0", optional: true },
      },
    });
  const npmsNote = (version: string): string =>
    JSON.stringify({ packages: { "node_modules/a": { version, integrity: "sha512-a" } } });

  async function clone(installed: { note?: string; stamp?: string }): Promise<string> {
    const bin = join(folder, "node_modules/node/bin");
    await mkdir(bin, { recursive: true });
    await writeFile(join(bin, "node"), "");
    await writeFile(join(folder, "package-lock.json"), lockText("1.0.0"));
    if (installed.note !== undefined)
      await writeFile(join(folder, "node_modules/.package-lock.json"), installed.note);
    if (installed.stamp !== undefined) await writeFile(join(folder, install.STAMP), installed.stamp);
    return folder;
  }
  const stampFor = (version: string): string =>
    install.stampOf(lockText(version), process.platform, process.arch);

  it("installs if there is no node_modules", () => {
    expect(install.isInstalled(folder)).toBe(false);
  });

  it("doesn't install again while the stamp fits the lock file", async () => {
    expect(install.isInstalled(await clone({ stamp: stampFor("1.0.0") }))).toBe(true);
  });

  it("installs when the lock file changed since", async () => {
    expect(install.isInstalled(await clone({ stamp: stampFor("0.9.0") }))).toBe(false);
  });

  it("installs when node_modules came from another kind of machine", async () => {
    const stamp = install.stampOf(lockText("1.0.0"), process.platform, "another");
    expect(install.isInstalled(await clone({ stamp }))).toBe(false);
  });

  it("installs after an install that broke off, which leaves neither stamp nor npm's note", async () => {
    expect(install.isInstalled(await clone({}))).toBe(false);
  });

  it("accepts an installation made with npm by hand, and remembers it", async () => {
    expect(install.isInstalled(await clone({ note: npmsNote("1.0.0") }))).toBe(true);
    expect(await readFile(join(folder, install.STAMP), "utf8")).toBe(stampFor("1.0.0"));
  });

  it("doesn't take a by-hand install of other versions", async () => {
    expect(install.isInstalled(await clone({ note: npmsNote("1.0.1") }))).toBe(false);
    expect(install.sameInstall(lockText("1.0.0"), '{"packages":{}}')).toBe(false);
    expect(install.sameInstall(lockText("1.0.0"), "{ cut")).toBe(false);
  });
});

describe("npm", () => {
  it("is kept off the Node that it is about to delete", () => {
    const own = join(folder, "node_modules");
    const found = install.npmCommand(folder, {
      PATH: [join(own, ".bin"), "/usr/bin", own, "/bin"].join(delimiter),
      npm_execpath: "/usr/lib/npm/bin/npm-cli.js",
      npm_node_execpath: join(own, "node/bin/node"),
      npm_config_prefix: "./relative",
    });
    expect(found).toMatchObject({ command: "npm", args: [] });
    expect(found.env["PATH"]).toBe(["/usr/bin", "/bin"].join(delimiter));
    expect(found.env).not.toHaveProperty("npm_config_prefix");
  });

  it("is the one that ran us, under its own Node, if there is one", () => {
    const environment = {
      PATH: "/bin",
      npm_execpath: "/usr/lib/npm/bin/npm-cli.js",
      npm_node_execpath: "/usr/bin/node",
    };
    expect(install.npmCommand(folder, environment)).toMatchObject({
      command: "/usr/bin/node",
      args: ["/usr/lib/npm/bin/npm-cli.js"],
    });
    expect(install.npmCommand(folder, { ...environment, npm_execpath: "/usr/lib/pnpm.cjs" }).command).toBe(
      "npm",
    );
  });

  it("is quoted when it fails, with what to do", () => {
    const text = install.failureText(1, "npm error code ENOTFOUND\n");
    expect(text).toMatch(/exit code 1/);
    expect(text).toMatch(/ {2}npm error code ENOTFOUND\nWhat to do: /);
  });
});

describe("two installs at once", () => {
  const file = (): string => join(folder, "deep", "install.lock");

  it("wait for one another", async () => {
    const order: string[] = [];
    const giveBack = await lock.takeLock(file(), () => order.push("first waits"));
    const waitForTurn = async (): Promise<void> => {
      const release = await lock.takeLock(file(), () => order.push("second waits"));
      order.push("second has it");
      release();
    };
    const second = waitForTurn();
    await until(() => order.includes("second waits"));
    giveBack();
    await second;
    expect(order).toEqual(["second waits", "second has it"]);
  });

  it("leave alone a lock that is being written, whatever the clock of the machine was set to", async () => {
    await mkdir(dirname(file()), { recursive: true });
    await writeFile(file(), "");
    const yesterday = Date.now() / 1000 - 86_400;
    await utimes(file(), yesterday, yesterday);
    let isWaiting = false;
    const taken = lock.takeLock(file(), () => (isWaiting = true));
    await until(() => isWaiting);
    expect(await readFile(file(), "utf8")).toBe("");
    await rm(file());
    (await taken)();
  });

  it("get past the lock of one that was killed", async () => {
    await mkdir(dirname(file()), { recursive: true });
    const { stdout } = await run(process.execPath, ["--print", "process.pid"]);
    await writeFile(file(), stdout.trim());
    const giveBack = await lock.takeLock(file(), () => expect.unreachable("no process holds it"));
    expect(await readFile(file(), "utf8")).toBe(String(process.pid));
    giveBack();
  });
});
