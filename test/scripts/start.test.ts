// `npm start` as a process that ends before it starts anything.
import { execFile } from "node:child_process";
import { createServer } from "node:net";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";

const START = resolve("scripts/start.ts");

const server = createServer();
let port: number;
beforeAll(async () => {
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  port = typeof address === "object" && address !== null ? address.port : 0;
});
afterAll(() => void server.close());

it.each(["EDGE_PORT", "AGENT_PORT"])("refuses a taken %s with what to do, and exit code 1", async (name) => {
  const env = { ...process.env, [name]: String(port) };
  const ended = await promisify(execFile)(process.execPath, [START], { env }).catch(
    (error: { code: number; stdout: string; stderr: string }) => error,
  );
  expect(ended).toMatchObject({ code: 1, stdout: "" });
  expect(ended.stderr).toBe(
    `${name}=${port}: another program listens there. Choose another port, or leave ${name} unset to get the next free one.\n`,
  );
});
