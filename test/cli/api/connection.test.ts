import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createKeyFile } from "../../../cli/api/admin-key-file.ts";
import { parseServiceUrl } from "../../../cli/api/service-url.ts";
import { ADMIN_KEY, AdminService } from "../support/admin-service.ts";
import { runHere } from "../support/run-isha.ts";

const service = new AdminService();
let url: string;
let folder: string;
beforeAll(async () => {
  url = await service.start();
});
afterAll(() => service.stop());
beforeEach(async () => {
  service.reset();
  folder = await mkdtemp(join(tmpdir(), "isha-key-"));
  return () => rm(folder, { recursive: true });
});

async function keyFile(
  text: string,
  mode = 0o600,
  path = join(folder, ".isha", "admin-key"),
): Promise<string> {
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(path, text);
  await chmod(path, mode);
  return path;
}

const list = (argv: readonly string[] = [], env: Record<string, string> = {}) =>
  runHere(["keys", "list", ...argv], { env: { ISHA_URL: url, ...env }, homeFolder: folder, folder });

describe("the service's address", () => {
  it.each([
    "https://a.example",
    "https://a.example/",
    "http://localhost:8787",
    "http://127.0.0.1:1",
    "http://[::1]:80",
  ])("%s is accepted", (text) => {
    expect(parseServiceUrl(text)).toEqual({ ok: true, value: new URL(text).origin });
  });

  it.each([
    ["http:// to another machine: the key would be sent unencrypted", "http://a.example"],
    ["http:// to a name that only starts like this machine's", "http://localhost.example"],
    ["http:// to a number that only starts like loopback", "http://127.0.0.1.example"],
    ["a path", "https://a.example/v1"],
    ["a password", "https://u:secret@a.example"],
    ["a query", "https://a.example?x"],
    ["no scheme", "a.example"],
    ["another scheme", "file:///etc/passwd"],
  ])("refused: %s", (_name, text) => {
    expect(parseServiceUrl(text).ok).toBe(false);
  });

  it("comes from --url, else ISHA_URL, else the fleet file; a password in it is never printed", async () => {
    const ran = await list(["--url", "https://u:secret@a.example"]);
    expect(ran.code).toBe(2);
    expect(ran.err).toContain("--url can't be used");
    expect(ran.err).not.toContain("secret");
    const fromFleet = await runHere(["keys", "list"], {
      defaultUrl: () => Promise.resolve("http://a.example"),
    });
    expect(fromFleet.err).toContain("the fleet file's domain can't be used");
  });
});

describe("the admin key", () => {
  it("comes from --key-file, else ISHA_ADMIN_KEY, else the operator's own file", async () => {
    await keyFile(`${ADMIN_KEY}\n`);
    expect((await list()).code).toBe(0);
    expect((await list([], { ISHA_ADMIN_KEY: "wrong" })).code).toBe(1);
    const other = await keyFile(ADMIN_KEY, 0o600, join(folder, "other"));
    expect((await list(["--key-file", other], { ISHA_ADMIN_KEY: "wrong" })).code).toBe(0);
    expect((await list(["--key-file", "other"], { ISHA_ADMIN_KEY: "wrong" })).code).toBe(0);
  });

  it.each([0o644, 0o640, 0o604, 0o620])(
    "in a file of mode %o is refused before anything is sent; the message has the chmod command",
    async (mode) => {
      const path = await keyFile(ADMIN_KEY, mode);
      const ran = await list();
      expect(ran.code).toBe(2);
      expect(ran.err).toContain(`chmod 600 ${path}`);
      expect(service.requests).toEqual([]);
    },
  );

  it("that is missing, empty, cut off, not one line or not a file is explained, and never sent", async () => {
    expect((await list()).err).toContain("There is no admin key.");
    expect((await list(["--key-file", "nowhere"])).err).toContain("There is no file");
    expect((await list(["--key-file", "."])).err).toContain("is not a file");
    await keyFile("");
    expect((await list()).err).toContain("doesn't contain a key");
    expect((await list([], { ISHA_ADMIN_KEY: "two words" })).err).toContain("doesn't contain a key");
    expect((await list([], { ISHA_ADMIN_KEY: "isha_first1234_abc" })).err).toContain("mistyped or cut off");
    await keyFile("x".repeat(5_000));
    expect((await list()).err).toContain("has 5000 bytes");
    expect(service.requests).toEqual([]);
  });

  it("can't be an option: shells store what is typed", async () => {
    const ran = await list(["--key", "isha_secret"]);
    expect(ran.code).toBe(2);
    expect(ran.err).toContain("unknown option '--key'");
  });
});

describe("a file for a new key", () => {
  it("can be read only by its owner, as can its folder, and is never overwritten", async () => {
    const path = join(folder, "new", "key");
    const file = await createKeyFile(path);
    await file.write("secret");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(join(folder, "new"))).mode & 0o777).toBe(0o700);
    await expect(createKeyFile(path)).rejects.toThrow("exists already");
    expect(await readFile(path, "utf8")).toBe("secret\n");
  });
});
