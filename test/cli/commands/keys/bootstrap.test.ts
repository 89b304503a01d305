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

/** The command's JSON output. */
interface Output {
  readonly id: string;
  readonly key: string | null;
  readonly sha256: string;
  readonly savedTo: string | null;
  readonly put: boolean;
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

it("makes a key in the form that the edge checks, from 32 random bytes, and its SHA-256", () => {
  const random = new SeededRandom(5);
  const sizes: number[] = [];
  const first = makeFirstKey((size) => {
    sizes.push(size);
    return random.bytes(size);
  });
  expect(sizes).toContain(32);
  expect(apiKeyId(first.key)).toBe(first.id);
  expect(first.id).toMatch(/^first[0-9a-f]{8}$/);
  expect(first.sha256).toBe(sha256(first.key));
});

it("prints the key once, on stdout only, and the next steps on stderr", async () => {
  const { out, err, code } = await bootstrap([]);
  const [key = ""] = /isha_first\w+/.exec(out) ?? [];
  expect(code).toBe(0);
  expect(apiKeyId(key)).not.toBeNull();
  expect(out.split(key)).toHaveLength(2);
  expect(err).not.toContain(key);
  expect(err).toContain(`printf %s ${sha256(key)} | npx wrangler secret put FIRST_ADMIN_KEY_SHA256`);
  expect(err).toContain("keys create --name <your name> --scopes infer,admin");
  expect(err).toContain("The first key is no longer valid then.");
});

it("--save writes it to the operator's key file of mode 0600, doesn't print it, and never overwrites a file", async () => {
  const path = join(homeFolder, ".isha", "admin-key");
  const printed = JSON.parse((await bootstrap(["--save", "--json"])).out) as Output;
  const key = (await readFile(path, "utf8")).trim();
  expect(printed).toEqual({
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

it("--put passes the hash to wrangler, never the key", async () => {
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
  "--put exits with 1 if wrangler fails (%s), and still prints the key and the manual command",
  async (exit, text) => {
    const { out, err, code } = await bootstrap(["--put"], { putSecret: () => Promise.resolve(exit) });
    expect(code).toBe(1);
    expect(out).toMatch(/isha_first\w+/);
    expect(err).toContain(text);
    expect(err).toContain("printf %s");
  },
);

describe("--from", () => {
  const recordingWrangler = () => {
    const put: string[] = [];
    const putSecret = (_: string, value: string) => {
      put.push(value);
      return Promise.resolve(0);
    };
    return { put, putSecret };
  };

  it("stores the hash of a key that --save wrote earlier, in the default file or another, and makes no new key", async () => {
    const { put, putSecret } = recordingWrangler();
    for (const [save, from] of [
      [["--save"], ["--from"]],
      [
        ["--save", "a.key"],
        ["--from", "a.key"],
      ],
    ] as const) {
      const saved = JSON.parse((await bootstrap([...save, "--json"])).out) as Output;
      const printed = JSON.parse(
        (await bootstrap(["--put", ...from, "--json"], { putSecret })).out,
      ) as Output;
      expect(printed).toEqual({ ...saved, put: true });
      expect(put.at(-1)).toBe(saved.sha256);
    }
    expect((await readdir(homeFolder)).toSorted()).toEqual([".isha", "a.key"]);
  });

  it("is the advice if the file of --save exists and if wrangler fails", async () => {
    const path = join(homeFolder, "a.key");
    const failing = await bootstrap(["--put", "--save", "a.key"], { putSecret: () => Promise.resolve(1) });
    expect(failing.err).toContain(`npm run isha -- keys bootstrap --put --from ${path}`);
    expect((await bootstrap(["--save", "a.key"])).err).toContain(
      `npm run isha -- keys bootstrap --put --from ${path}`,
    );
    const again = await bootstrap(["--put", "--from", "a.key"], recordingWrangler());
    expect(again.code).toBe(0);
    expect(again.out).toContain(`key      in ${path}`);
    expect(again.out + again.err).not.toMatch(/isha_first\w+/);
  });

  it("refuses any other key, which would become an admin key, and a missing file", async () => {
    const { put, putSecret } = recordingWrangler();
    const other = formatApiKey("3fA9kQ2mXw7b", new SeededRandom(7).bytes(32));
    await writeFile(join(homeFolder, "clinic.key"), `${other}\n`, { mode: 0o600 });
    await bootstrap(["--save", "a.key"]);
    const complete = await readFile(join(homeFolder, "a.key"), "utf8");
    await writeFile(join(homeFolder, "cut.key"), complete.slice(0, -3), { mode: 0o600 });
    await writeFile(join(homeFolder, "open.key"), complete, { mode: 0o644 });
    for (const file of ["clinic.key", "cut.key", "open.key", "none.key"]) {
      const ran = await bootstrap(["--put", "--from", file], { putSecret });
      expect([file, ran.code, ran.out]).toEqual([file, 2, ""]);
    }
    expect((await bootstrap(["--from", "a.key", "--save", "b.key"])).code).toBe(2);
    expect(put).toEqual([]);
  });
});

it("--put runs wrangler without a shell, passes the hash by stdin, and keeps stdout for JSON", async () => {
  const bin = join(homeFolder, "wrangler");
  await writeFile(
    bin,
    `#!${process.execPath}\nconst fs = require("node:fs");\nconsole.log("wrangler's output");\n` +
      `fs.writeFileSync(${JSON.stringify(join(homeFolder, "seen"))}, JSON.stringify([...process.argv.slice(2), fs.readFileSync(0, "utf8")]));\n`,
    { mode: 0o700 },
  );
  const [ran, missing] = await Promise.all([
    runProgram(["keys", "bootstrap", "--put", "--json"], { env: { PATH: homeFolder, HOME: homeFolder } }),
    runProgram(["keys", "bootstrap", "--put"], { env: { PATH: "/nonexistent", HOME: homeFolder } }),
  ]);
  const printed = JSON.parse(ran.out) as Output;
  expect(printed.put).toBe(true);
  expect(JSON.parse(await readFile(join(homeFolder, "seen"), "utf8"))).toEqual([
    "secret",
    "put",
    "FIRST_ADMIN_KEY_SHA256",
    printed.sha256,
  ]);
  expect(ran.err).toContain("wrangler's output");
  expect(missing.code).toBe(1);
  expect(missing.err).toContain("it couldn't be run");
});
