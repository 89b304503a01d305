// Answers of Cloudflare's own machines between the edge and a box. A stand-in on a real socket takes the first box's
// calls and answers as they do; a second stand-in is the other box's agent, and serves.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { startStack } from "../../../scripts/stack/stack.ts";
import { ask, CHEST_PAIN, errorOf, fetchEdge, type Answer, type Stack } from "../support/ask.ts";
import { FLEET_FILE } from "../support/boxes.ts";

type Script = (request: IncomingMessage, response: ServerResponse) => void;

let stack: Stack;
let north: Script = () => undefined;
let seen: string[] = [];
const servers: Server[] = [];

async function standIn(box: string, answer: Script): Promise<string> {
  const server = createServer((request, response) => {
    if (request.method === "POST") seen.push(box);
    request.resume().once("end", () => answer(request, response));
  });
  servers.push(server);
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

beforeAll(async () => {
  const agent: Script = (_, response) => {
    response.writeHead(200, { "content-type": "application/json", "x-isha-agent": "south" });
    response.end('{"by":"south"}');
  };
  stack = await startStack({
    fleetFile: FLEET_FILE,
    agents: false,
    simulator: {},
    // No box is linked, so calls follow the fleet file's order: north first.
    boxOrigins: {
      north: await standIn("north", (request, response) => north(request, response)),
      south: await standIn("south", agent),
    },
  });
});
beforeEach(() => void (seen = []));
afterAll(async () => {
  await stack?.stop();
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
});

async function answerTo(script: Script): Promise<Answer> {
  north = script;
  return ask(stack, { agent_type: "Clinical", messages: CHEST_PAIN });
}

/** A page, as Cloudflare or cloudflared sends one. */
const page =
  (status: number, body: string, headers: Record<string, string> = {}): Script =>
  (_, response) => {
    response.writeHead(status, { "content-type": "text/html", server: "cloudflare", ...headers });
    response.end(body);
  };

/** JSON for a request that accepts it, as Cloudflare negotiates it, HTML for any other. */
const tunnelError =
  (code: number): Script =>
  (request, response) => {
    const isJson = request.headers.accept === "application/json";
    const json = JSON.stringify({
      title: `Error ${code}`,
      status: 530,
      error_code: code,
      cloudflare_error: true,
    });
    const html = `<html>${"<p>".repeat(2_000)}<span>Error</span> <span>${code}</span></html>`;
    const type = isJson ? "application/json; charset=utf-8" : "text/html; charset=UTF-8";
    page(530, isJson ? json : html, { "content-type": type })(request, response);
  };

test.each<[string, Script]>([
  ["Access's login", page(302, "", { location: "https://team.cloudflareaccess.com/cdn-cgi/access/login/x" })],
  ["Access's 401 for a token that can't authenticate", page(401, "<html>Unauthorized")],
  ["Access's 403 for a token without permission", page(403, "<html>Forbidden")],
  ["the tunnel without a connection (530, 1033)", tunnelError(1033)],
  ["the tunnel's hostname without a target (530, 1016)", tunnelError(1016)],
])("a call that did not begin is answered by the next box: %s", async (_, script) => {
  const answer = await answerTo(script);
  expect([answer.status, answer.text]).toEqual([200, '{"by":"south"}']);
  expect(seen).toEqual(["north", "south"]);
});

test.each<[string, Script]>([
  ["the connection broke while it was read", (request) => void request.socket.destroy()],
  ["cloudflared returned 502", page(502, "<html>Unable to reach the origin service")],
  ["Cloudflare returned 520", page(520, "<html>Web server returned an unknown error")],
  ["a 530 has another cause", tunnelError(1014)],
  ["a page has status 200", page(200, "<html>Welcome")],
])("a call that may have begun gets a 502 and visits no other box: %s", async (_, script) => {
  const answer = await answerTo(script);
  expect([answer.status, errorOf(answer).code]).toEqual([502, "box_unreachable"]);
  expect(answer.text).not.toContain("html");
  expect(seen).toEqual(["north"]);
});

test("a call that a proxy stopped waiting for gets a 504 and visits no other box", async () => {
  const answer = await answerTo(page(524, "<html>A timeout occurred"));
  expect([answer.status, errorOf(answer).code]).toEqual([504, "upstream_timeout"]);
  expect(seen).toEqual(["north"]);
});

test("a hundred requests at once to /healthz and /v1/models poll a box that never linked once", async () => {
  const states = [8080, 8081, 8082, 8084, 8085].map((port) => ({ port, model: "m", state: "ready" }));
  let polls = 0;
  north = (_, response) => {
    polls += 1;
    response.writeHead(200, { "content-type": "application/json", "x-isha-agent": "north" });
    response.end(JSON.stringify({ box: "north", version: "1", servers: states }));
  };
  const paths = Array.from({ length: 100 }, (_, at) => (at % 2 === 0 ? "/healthz" : "/v1/models"));
  const headers = { authorization: "Bearer dev-key" };
  const answers = await Promise.all(paths.map((path) => fetchEdge(`${stack.edgeUrl}${path}`, { headers })));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  for (const answer of answers) expect(await answer.text()).toContain("ready");
  expect(polls).toBe(1);
});
