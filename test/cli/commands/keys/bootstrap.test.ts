import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { makeFirstKey } from "../../../../cli/commands/keys/bootstrap.ts";
import type { CommandContext } from "../../../../cli/context.ts";
import { apiKeyId, formatApiKey } from "../../../../shared/api-key.ts";
import { SeededRandom } from "../../../support/seeded-random.ts";
import { runHere, runProgram } from "../../support/run-isha.ts";

let homeFolder: string;
beforeEach(async () => {
  homeFolder = await mkdtemp(join(tmpdir(), "isha-home-"));
  return () => rm(homeFolder, { recursive: true });
});

const bootstrap = (argv: readonly string[], given: Partial<CommandContext> = {}) =>
  runHere(["keys", "bootstrap", ...argv], { homeFolder, folder: homeFolder, ...given });

/** What it told as JSON. */
interface Told {
  readonly id: string;
  readonly key: string | null;
  readonly sha256: string;
  readonly savedTo: string | null;
  readonly put: boolean;
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

it("makes a key of the form that the edge checks, of 32 bytes of the system's randomness, and its SHA-256", () => {
  const random = new SeededRandom(5);
  const asked: number[] = [];
  const first = makeFirstKey((size) => {
    asked.push(size);
    return random.bytes(size);
  });
  expect(asked).toContain(32);
  expect(apiKeyId(first.key)).toBe(first.id);
  expect(first.id).toMatch(/^first[0-9a-f]{8}$/);
  expect(first.sha256).toBe(sha256(first.key));
});

it("shows the key once, on stdout alone, and the next steps on stderr", async () => {
  const { out, err, code } = await bootstrap([]);
  const [key = ""] = /isha_first\w+/.exec(out) ?? [];
  expect(code).toBe(0);
  expect(apiKeyId(key)).not.toBeNull();
  expect(out.split(key)).toHaveLength(2);
  expect(err).not.toContain(key);
  expect(err).toContain(`printf %s ${sha256(key)} | npx wrangler secret put FIRST_ADMIN_KEY_SHA256`);
  expect(err).toContain("keys create --name <your name> --scopes infer,admin");
  expect(err).toContain("the first one counts no more");
});

it("--save writes it to the operator's own file, of mode 0600, shows it nowhere, and never writes over one", async () => {
  const path = join(homeFolder, ".isha", "admin-key");
  const told = JSON.parse((await bootstrap(["--save", "--json"])).out) as Told;
  const key = (await readFile(path, "utf8")).trim();
  expect(told).toEqual({
    id: apiKeyId(key),
    key: null,
    sha256: sha256(key),
    savedTo: path,
    secret: "FIRST_ADMIN_KEY_SHA256",
    put: false,
  });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  const again = await bootstrap(["--save"]);
  expect(again.code).toBe(1);
  expect(again.out).toBe("");
  expect((await readFile(path, "utf8")).trim()).toBe(key);
  const elsewhere = await bootstrap(["--save", "first.key"]);
  expect(elsewhere.err).toContain(`--key-file ${join(homeFolder, "first.key")}`);
});

it("--put hands wrangler the hash, never the key", async () => {
  const put: string[] = [];
  const putSecret = (name: string, value: string) => {
    put.push(name, value);
    return Promise.resolve(0);
  };
  const { out, err } = await bootstrap(["--put"], { putSecret });
  const [key = ""] = /isha_first\w+/.exec(out) ?? [];
  expect(put).toEqual(["FIRST_ADMIN_KEY_SHA256", sha256(key)]);
  expect(err).not.toContain("printf");
});

it.each([
  [1, "exit code 1"],
  [null, "it couldn't be run"],
])(
  "--put where wrangler fails (%s) ends with 1, the key still told and the way by hand",
  async (exit, says) => {
    const { out, err, code } = await bootstrap(["--put"], { putSecret: () => Promise.resolve(exit) });
    expect(code).toBe(1);
    expect(out).toMatch(/isha_first\w+/);
    expect(err).toContain(says);
    expect(err).toContain("printf %s");
  },
);

describe("--from", () => {
  const noted = () => {
    const put: string[] = [];
    const putSecret = (_: string, value: string) => {
      put.push(value);
      return Promise.resolve(0);
    };
    return { put, putSecret };
  };

  it("puts the hash of a key that --save wrote before, the usual file's or another's, and makes none", async () => {
    const { put, putSecret } = noted();
    for (const [save, from] of [
      [["--save"], ["--from"]],
      [
        ["--save", "a.key"],
        ["--from", "a.key"],
      ],
    ] as const) {
      const saved = JSON.parse((await bootstrap([...save, "--json"])).out) as Told;
      const told = JSON.parse((await bootstrap(["--put", ...from, "--json"], { putSecret })).out) as Told;
      expect(told).toEqual({ ...saved, put: true });
      expect(put.at(-1)).toBe(saved.sha256);
    }
    expect((await readdir(homeFolder)).toSorted()).toEqual([".isha", "a.key"]);
  });

  it("is what is said where the file of --save is there, and where wrangler fails", async () => {
    const path = join(homeFolder, "a.key");
    const failing = await bootstrap(["--put", "--save", "a.key"], { putSecret: () => Promise.resolve(1) });
    expect(failing.err).toContain(`isha keys bootstrap --put --from ${path}`);
    expect((await bootstrap(["--save", "a.key"])).err).toContain(`isha keys bootstrap --put --from ${path}`);
    const again = await bootstrap(["--put", "--from", "a.key"], noted());
    expect(again.code).toBe(0);
    expect(again.out).toContain(`key      in ${path}`);
    expect(again.out + again.err).not.toMatch(/isha_first\w+/);
  });

  it("takes no other key, which would be an admin key all at once, and no file that isn't there", async () => {
    const { put, putSecret } = noted();
    const other = formatApiKey("3fA9kQ2mXw7b", new SeededRandom(7).bytes(32));
    await writeFile(join(homeFolder, "clinic.key"), `${other}\n`, { mode: 0o600 });
    await bootstrap(["--save", "a.key"]);
    const whole = await readFile(join(homeFolder, "a.key"), "utf8");
    await writeFile(join(homeFolder, "cut.key"), whole.slice(0, -3), { mode: 0o600 });
    await writeFile(join(homeFolder, "open.key"), whole, { mode: 0o644 });
    for (const file of ["clinic.key", "cut.key", "open.key", "none.key"]) {
      const ran = await bootstrap(["--put", "--from", file], { putSecret });
      expect([file, ran.code, ran.out]).toEqual([file, 2, ""]);
    }
    expect((await bootstrap(["--from", "a.key", "--save", "b.key"])).code).toBe(2);
    expect(put).toEqual([]);
  });
});

it("--put runs wrangler as a program: no shell, the hash by stdin, stdout kept for JSON", async () => {
  const bin = join(homeFolder, "wrangler");
  await writeFile(
    bin,
    `#!${process.execPath}\nconst fs = require("node:fs");\nconsole.log("wrangler's own words");\n` +
      `fs.writeFileSync(${JSON.stringify(join(homeFolder, "seen"))}, JSON.stringify([...process.argv.slice(2), fs.readFileSync(0, "utf8")]));\n`,
    { mode: 0o700 },
  );
  const [ran, missing] = await Promise.all([
    runProgram(["keys", "bootstrap", "--put", "--json"], { env: { PATH: homeFolder, HOME: homeFolder } }),
    runProgram(["keys", "bootstrap", "--put"], { env: { PATH: "/nonexistent", HOME: homeFolder } }),
  ]);
  const told = JSON.parse(ran.out) as Told;
  expect(told.put).toBe(true);
  expect(JSON.parse(await readFile(join(homeFolder, "seen"), "utf8"))).toEqual([
    "secret",
    "put",
    "FIRST_ADMIN_KEY_SHA256",
    told.sha256,
  ]);
  expect(ran.err).toContain("wrangler's own words");
  expect(missing.code).toBe(1);
  expect(missing.err).toContain("it couldn't be run");
});
