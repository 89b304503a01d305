// The README's examples, run as they stand there but for the port, against the stack; and what it claims of
// limits and routes, held to the fleet file.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import fleet from "../../../fleet.config.ts";
import { CHEST_PAIN, fetchEdge, startReady, type Stack } from "../support/ask.ts";

const run = promisify(execFile);
const README = await readFile(new URL("../../../README.md", import.meta.url), "utf8");
const WRITTEN = "http://localhost:8787";

let stack: Stack;
beforeAll(async () => {
  stack = await startReady({ simulator: { tokensPerSecond: 2000, promptTokensPerSecond: 100_000 } });
});
afterAll(async () => {
  await stack?.stop();
});

/** Runs a curl of the README, again while the limits could not be checked, as on a machine that froze. */
async function curl(written: string): Promise<string> {
  let printed = await run("bash", ["-c", here(written)]);
  while (printed.stdout.includes('"limiter_unavailable"')) printed = await run("bash", ["-c", here(written)]);
  return printed.stdout;
}

/** The fenced blocks of a language, in order. */
function blocks(language: string): string[] {
  return [...README.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, "gm"))].map(
    (match) => match[1] ?? "",
  );
}

const here = (text: string): string => text.replaceAll(WRITTEN, stack.edgeUrl);

describe("the README", () => {
  const curls = blocks("sh").filter((block) => block.startsWith("curl"));

  test("has a curl of each request form", () => {
    expect(curls).toHaveLength(3);
  });

  test("its curls by agent type and by port are answered in the shape it shows", async () => {
    const [shown = "{}"] = blocks("json");
    for (const [written, port] of [
      [curls[0], 8084],
      [curls[1], 8085],
    ] as const) {
      const answer = JSON.parse(await curl(written ?? "")) as { isha: { port: number }; choices: object[] };
      expect(Object.keys(answer)).toEqual(Object.keys(JSON.parse(shown) as object));
      expect(Object.keys(answer.choices[0] ?? {})).toEqual(
        Object.keys((JSON.parse(shown) as { choices: object[] }).choices[0] ?? {}),
      );
      expect(answer.isha.port).toBe(port);
    }
  });

  test("its streamed curl ends with [DONE]", async () => {
    const stdout = await curl(curls[2] ?? "");
    expect(stdout).toContain('"object":"chat.completion.chunk"');
    expect(stdout.trimEnd().endsWith("data: [DONE]")).toBe(true);
  });

  test("its TypeScript prints the answer", async () => {
    const folder = await mkdtemp(join(import.meta.dirname, "../../../.wrangler/readme-"));
    try {
      await writeFile(join(folder, "example.ts"), here(blocks("ts")[0] ?? ""));
      const { stdout } = await run(process.execPath, [join(folder, "example.ts")]);
      expect(stdout).toContain("chest pain");
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("its Python is a plain streamed request, which is answered", async () => {
    const [python = ""] = blocks("python").map(here);
    const named = (name: string): string => new RegExp(`${name}="([^"]+)"`).exec(python)?.[1] ?? "";
    const answer = await fetchEdge(`${named("base_url")}/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${named("api_key")}`, "content-type": "application/json" },
      body: JSON.stringify({ model: named("model"), stream: true, messages: CHEST_PAIN }),
    });
    expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining("[DONE]")]);
  });

  test("names this fleet's limits, ports and address", () => {
    const { perAddressPerSecond, perKeyPerSecond } = fleet.limits;
    expect(README).toContain(
      `${perAddressPerSecond} requests/s per address, ${perKeyPerSecond.toLocaleString("en")} per key`,
    );
    expect(README).toContain(`https://${fleet.domain}`);
    for (const { port } of fleet.boxes.flatMap((box) => box.servers)) expect(README).toContain(String(port));
  });
});
