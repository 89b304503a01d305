// An operator's day with `isha` on the whole stack: from the first admin key of a new deployment to a revoked one.
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { argumentsOf, examplesOf, firstLine } from "../../cli/support/help-examples.ts";
import { runHere, runProgram, type Ran } from "../../cli/support/run-isha.ts";
import { askReady, CHEST_PAIN, errorOf, startReady, type Answer, type Stack } from "../support/ask.ts";
import { until } from "../../support/until.ts";

let stack: Stack;
/** The operator's home: the key files lie there. */
let home: string;

const OPS = "ops.key";
const FIRST = ".isha/admin-key";

beforeAll(async () => {
  home = await mkdtemp(join(import.meta.dirname, "../../../.wrangler/isha-"));
  await mkdir(join(home, "examples"));
  const made = await runProgram(["keys", "bootstrap", "--save", "--json"], { env: { HOME: home } });
  const { sha256 } = JSON.parse(made.out) as { readonly sha256: string };
  // The platform hands a Worker its secrets like this; on this machine wrangler passes only those it requires.
  const entry = join(home, "worker.ts");
  await writeFile(
    entry,
    `import worker from "../../worker/index.ts";
     export * from "../../worker/index.ts";
     const first = { FIRST_ADMIN_KEY_SHA256: "${sha256}" };
     export default { fetch: (request, env, context) => worker.fetch(request, { ...env, ...first }, context) };\n`,
  );
  stack = await startReady({
    workerEntry: entry,
    simulator: { tokensPerSecond: 2000, promptTokensPerSecond: 100_000 },
  });
});
afterAll(async () => {
  await stack?.stop();
  await rm(home, { recursive: true });
});

/** In this process, which saves a program's start for each command; the first and the last ones are the real program. */
async function isha(line: string, keyFile = OPS): Promise<Ran> {
  const argv = [...line.split(" "), "--key-file", join(home, keyFile)];
  const env = { HOME: home, ISHA_URL: stack.edgeUrl };
  return repeated(() => runHere(argv, { env, homeFolder: home, folder: home, now: () => Date.now() }));
}

const ishaProgram = (argv: string[], env: Record<string, string> = {}): Promise<Ran> =>
  repeated(() => runProgram(argv, { env: { HOME: home, ISHA_URL: stack.edgeUrl, ...env }, folder: home }));

/** As `fetchEdge` repeats a request that the limits could not check. */
async function repeated(run: () => Promise<Ran>): Promise<Ran> {
  let ran = await run();
  while (ran.err.includes("limiter_unavailable")) ran = await run();
  return ran;
}

/** What a command prints as JSON. */
async function result<T>(line: string, keyFile?: string): Promise<T> {
  const ran = await isha(`${line} --json`, keyFile);
  expect(ran.err).toBe("");
  return JSON.parse(ran.out) as T;
}

const asClinic = (key: string, agent = "Clinical"): Promise<Answer> =>
  askReady(stack, { agent_type: agent, messages: CHEST_PAIN }, { authorization: `Bearer ${key}` });

interface Made {
  readonly id: string;
  readonly key: string;
}

/** A new key for a clinic. */
const clinic = (name: string): Promise<Made> => result<Made>(`keys create --name ${name} --agents Clinical`);

describe("an operator's day", () => {
  test("the first admin key makes the operator's own, and from then on counts no more", async () => {
    const line = `keys create --name ops --scopes infer,admin --save ${OPS} --key-file ${join(home, FIRST)}`;
    const made = await ishaProgram(line.split(" "));
    expect(made).toMatchObject({ code: 0 });
    expect(await readFile(join(home, OPS), "utf8")).toMatch(/^isha_\w+\n$/);
    expect((await isha("keys list")).out).toContain("ops");
    await until(async () => (await isha("keys list", FIRST)).code === 1, "the end of the first admin key");
    expect((await isha("keys list", FIRST)).err).toContain("401 invalid_key");
  });

  test("a clinic's key may do what was granted, and `why` explains its refusals by request id", async () => {
    const { id, key } = await clinic("riverside");
    expect((await asClinic(key)).status).toBe(200);
    const refused = await asClinic(key, "Claims");
    expect(refused.status).toBe(403);
    const requestId = errorOf(refused).request_id;
    let fate: Ran | null = null;
    await until(async () => {
      fate = await isha(`why ${requestId}`);
      return fate.code === 0;
    }, "the request's fate");
    const { out } = fate ?? { out: "" };
    expect(out).toContain("403 agent_not_allowed");
    expect(out).toContain(`${id} (“riverside”)`);
    expect(out).toContain("/v1/chat/completions");
    expect(out).not.toContain("chest pain");
  });

  test("a key's usage matches its answer to the token", async () => {
    const { id, key } = await clinic("counted");
    const { usage } = JSON.parse((await asClinic(key)).text) as { usage: Record<string, number> };
    interface Report {
      readonly total: {
        readonly calls: number;
        readonly promptTokens: number;
        readonly completionTokens: number;
      };
    }
    let report: Report | null = null;
    await until(async () => {
      report = await result<Report>(`usage --key ${id}`);
      return report.total.calls > 0;
    }, "the call in the ledger");
    expect(report).toMatchObject({
      total: { calls: 1, promptTokens: usage["prompt_tokens"], completionTokens: usage["completion_tokens"] },
    });
    expect((await isha("usage --by key")).out).toMatch(new RegExp(`${id} +counted +1 +100 %`));
    expect((await isha("usage --by model --csv")).out).toMatch(/^model,calls,/);
  });

  test("a change holds, a rotation ends the old secret, a revocation ends the key; all of it is in the audit", async () => {
    const { id, key } = await clinic("eastside");
    expect(await result(`keys change ${id} --agents all --per-second 7 --tokens-per-month 5M`)).toMatchObject(
      {
        agents: null,
        limits: { perSecond: 7, tokensPerMonth: 5_000_000 },
      },
    );
    await until(async () => (await asClinic(key, "Claims")).status === 200, "the change");
    const rotated = await result<Made>(`keys rotate ${id} --grace 0`);
    await until(async () => (await asClinic(key)).status === 401, "the old secret's end");
    expect((await asClinic(rotated.key)).status).toBe(200);
    expect((await isha(`keys revoke ${id}`)).code).toBe(2);
    expect((await isha(`keys revoke ${id} --yes`)).out).toContain("Revoked");
    await until(async () => (await asClinic(rotated.key)).status === 401, "the key's end");
    expect((await isha(`keys show ${id}`)).out).toMatch(/state +revoked/);
    interface Audit {
      readonly entries: readonly { readonly action: string }[];
    }
    await until(async () => {
      const { entries } = await result<Audit>(`audit --target ${id} --all`);
      return entries.map(({ action }) => action).join() === "key.revoke,key.rotate,key.change,key.create";
    }, "the audit");
  });

  test("a refusal of the service is printed with its message and request id", async () => {
    const ran = await isha("keys show nobody0000001");
    expect(ran.code).toBe(1);
    expect(ran.err).toMatch(
      /There is no key with this id\.[^]*\(404 not_found\)\nRequest id: req_[0-9a-f]{32}\n$/,
    );
    const { key } = await clinic("curious");
    const curious = await ishaProgram(["keys", "list"], { ISHA_ADMIN_KEY: key });
    expect(curious.code).toBe(1);
    expect(curious.err).toContain("403 scope_missing");
  });

  test("dev-admin, which npm start speaks of, works here", async () => {
    const ran = await ishaProgram(["keys", "list", "--all"], { ISHA_ADMIN_KEY: "dev-admin" });
    expect(ran.out).toContain("riverside");
  });
});

describe("the help's examples, as printed but for ids and the port", () => {
  /** A key that the example may change, and the id of a refused request. */
  async function real(line: string): Promise<string> {
    if (!/3fA9kQ2mXw7b|req_/.test(line)) return line.replace("http://localhost:8787", stack.edgeUrl);
    const { id, key } = await clinic("example");
    const refused = line.includes("req_") ? errorOf(await asClinic(key, "Claims")).request_id : "";
    return line.replace("3fA9kQ2mXw7b", id).replace(/req_\w+/, refused);
  }

  test.each(examplesOf("edge"))("isha $line", async ({ line, first, code }) => {
    const argv = argumentsOf(await real(line));
    const env = { HOME: home, ISHA_URL: stack.edgeUrl, ISHA_ADMIN_KEY: "dev-admin" };
    const given = { env, homeFolder: home, folder: join(home, "examples"), now: () => Date.now() };
    const ran = await until(async () => {
      const ended = await repeated(() => runHere(argv, { ...given, ask: () => Promise.resolve("y") }));
      // A refusal is kept shortly after its answer.
      return (!ended.err.includes("There is no record of") && ended) || null;
    }, line);
    expect(ran.code, ran.err).toBe(code);
    expect(firstLine(ran)).toMatch(first);
  });
});
