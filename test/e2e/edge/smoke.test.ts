// `isha smoke` against the whole stack: every step passes on a healthy one, and a broken part is named.
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "../../../scripts/stack/ports.ts";
import { runHere, type Ran } from "../../cli/support/run-isha.ts";
import { until } from "../../support/until.ts";
import { serversReady, startReady, type Stack } from "../support/ask.ts";

let stack: Stack;
beforeAll(async () => {
  stack = await startReady({ simulator: { tokensPerSecond: 2000, promptTokensPerSecond: 100_000 } });
});
afterAll(async () => {
  await stack?.stop();
});

const smoke = (...more: readonly string[]): Promise<Ran> =>
  runHere(["smoke", ...more], { env: { ISHA_URL: stack.edgeUrl, ISHA_ADMIN_KEY: "dev-key" } });

test("all steps pass on a healthy deployment: agent types, formats, streams, dialects, errors", async () => {
  const { code, out, err } = await smoke();
  expect(err, out).toBe("");
  expect(code).toBe(0);
  const steps = out.trimEnd().split("\n");
  expect(steps.filter((step) => !step.startsWith("ok"))).toEqual([]);
  for (const name of ["agent Clinical", "stream mediczy", "/v1/messages", "/v1/embeddings (no such model)"])
    expect(out).toContain(name);
  expect(steps.length).toBeGreaterThan(25);
});

test("a server that is down is named by the agent types that another one answers for", async () => {
  await stack.killServer(8084);
  await until(
    async () => (await fetch(`${stack.edgeUrl}/healthz?require=all`)).status === 503,
    "8084 is down",
  );
  const { code, out } = await smoke("--json");
  expect(code).toBe(1);
  const steps = JSON.parse(out) as { step: string; ok: boolean; problem: string | null }[];
  const failed = steps.filter(({ ok }) => !ok).map(({ step }) => step);
  expect(failed).toEqual(["healthz", "agent Claims", "agent Billing", "agent Insurance"]);
  await stack.startServer(8084);
  await serversReady(stack);
});

test("an address at which nothing listens is exit code 3, before any step", async () => {
  const { code, err } = await runHere(["smoke"], {
    env: { ISHA_URL: `http://127.0.0.1:${await freePort()}`, ISHA_ADMIN_KEY: "dev-key" },
  });
  expect(code).toBe(3);
  expect(err).toContain("Nothing listens");
});
