// Checks when a client gets headers, comments and spaces, and how a started answer ends. The test controls the clock.
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ClientAnswer, type AnswerSource } from "../../../origin-agent/answers/client-answer.ts";
import type { Refusal } from "../../../shared/errors.ts";
import { testBox, WANTED } from "../support/box.ts";
import { until } from "../../support/until.ts";

let server: Server;
let responding: (response: ServerResponse) => void;

beforeAll(async () => {
  server = createServer((_, response) => responding(response));
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

interface Client {
  readonly answer: ClientAnswer;
  /** What has arrived; undefined before the headers. */
  readonly head: () => IncomingMessage | undefined;
  readonly text: () => string;
  readonly ended: Promise<void>;
}

async function client(stream: boolean): Promise<Client> {
  const arrived = new Promise<ServerResponse>((resolve) => (responding = resolve));
  let head: IncomingMessage | undefined;
  let text = "";
  const { port } = server.address() as AddressInfo;
  const ended = new Promise<void>((resolve) => {
    request({ host: "127.0.0.1", port, agent: false }, (response) => {
      head = response;
      response.on("data", (chunk: Buffer) => void (text += chunk.toString("utf8")));
      response.once("end", resolve);
    }).end();
  });
  const answer = new ClientAnswer(
    await arrived,
    { dialect: "chat" as const, requestId: "req-1", stream },
    "north",
  );
  return { answer, head: () => head, text: () => text, ended };
}

function source(): AnswerSource {
  const [one] = testBox().servers;
  if (one === undefined) throw new Error("the box of these tests has servers");
  const facts = { box: "north", port: WANTED, queueMs: 2_400, fallbackFrom: 9102, agentType: "Radiology" };
  return { facts, server: one, simulated: true, upstreamMs: 7 };
}

const BROKE: Refusal = { code: "upstream_failed", message: "It broke.", internal: "secret" };

describe("a stream", () => {
  it("gets its headers two seconds after it was accepted, then a comment for every second of silence", async () => {
    const { answer, head, text } = await client(true);
    answer.tick(10_000);
    expect(answer.begun).toBe(false);
    answer.accept(10_000);
    answer.accept(11_500);
    answer.tick(11_999);
    expect(answer.begun).toBe(false);
    answer.tick(12_000);
    await until(() => text() === ":\n\n");
    expect(head()).toMatchObject({ statusCode: 200, headers: { "content-type": "text/event-stream" } });
    expect(head()?.headers).not.toHaveProperty("x-isha-port");
    answer.tick(12_999);
    answer.tick(13_000);
    answer.tick(13_500);
    await until(() => text() === ":\n\n:\n\n");
    answer.write("data: a\n\n", 13_900);
    answer.tick(14_800);
    answer.tick(14_900);
    answer.endStream();
    answer.tick(99_000);
    await until(() => text() === ":\n\n:\n\ndata: a\n\n:\n\n");
  });

  it("states in its comments, and in its headers, what it waits for at that moment", async () => {
    const { answer, head, text } = await client(true);
    let place = 3;
    answer.accept(0);
    answer.waitsFor(() => `queued, place ${place}, about 4 s`);
    answer.tick(2_000);
    await until(() => text() === ": queued, place 3, about 4 s\n\n");
    expect(head()?.headers["server-timing"]).toBe('wait;desc="queued, place 3, about 4 s"');
    place = 1;
    answer.tick(3_000);
    answer.waitsFor(() => "processing the prompt");
    answer.tick(4_000);
    await until(() => text().endsWith(": queued, place 1, about 4 s\n\n: processing the prompt\n\n"));
    answer.endStream();
  });

  it("gets the server's details in-band, once, if the headers were sent before", async () => {
    const { answer, text, ended } = await client(true);
    answer.accept(0);
    answer.tick(2_000);
    answer.begin(source(), 2_400);
    answer.begin(source(), 2_500);
    answer.endStream();
    await ended;
    expect(text()).toBe(
      `:\n\n: isha ${JSON.stringify({ port: WANTED, box: "north", model: "Heron-3B.gguf", queue_ms: 2400, fallback_from: 9102 })}\n\n`,
    );
  });

  it("whose server is known in time names it in its headers, and not in-band", async () => {
    const { answer, head, text, ended } = await client(true);
    answer.accept(0);
    answer.begin(source(), 100);
    answer.endStream();
    await ended;
    expect(text()).toBe("");
    expect(head()?.headers).toMatchObject({ "x-isha-port": String(WANTED), "x-isha-fallback-from": "9102" });
  });

  it("that fails after its headers ends with one error event; before them with a status", async () => {
    const late = await client(true);
    late.answer.accept(0);
    late.answer.tick(2_000);
    late.answer.fail(BROKE, true);
    late.answer.fail(BROKE, true);
    late.answer.write("data: a\n\n", 3_000);
    await late.ended;
    expect(late.text()).toMatch(/^:\n\ndata: {"error":{.*"code":"upstream_failed".*}}\n\n$/);
    expect(late.text()).not.toContain("secret");
    const early = await client(true);
    early.answer.accept(0);
    early.answer.fail(BROKE, false);
    await early.ended;
    expect(early.head()).toMatchObject({ statusCode: 502, headers: { "x-isha-started": "0" } });
  });
});

describe("a JSON answer", () => {
  it("gets its headers after 50 s and then a space every ten seconds, and still parses", async () => {
    const { answer, head, text, ended } = await client(false);
    answer.accept(1_000);
    answer.tick(50_999);
    expect(answer.begun).toBe(false);
    answer.tick(51_000);
    await until(() => text() === " ");
    for (let now = 51_250; now <= 72_000; now += 250) answer.tick(now);
    answer.begin(source(), 72_000);
    answer.endJson('{"choices":[]}');
    await ended;
    expect(text()).toBe('   {"choices":[]}');
    expect(JSON.parse(text())).toEqual({ choices: [] });
    expect(head()?.headers).not.toHaveProperty("content-length");
  });

  it("that fails after its headers becomes an error object", async () => {
    const { answer, head, text, ended } = await client(false);
    answer.accept(0);
    answer.tick(50_000);
    answer.fail(BROKE, true);
    await ended;
    expect(head()?.statusCode).toBe(200);
    expect(JSON.parse(text())).toMatchObject({ error: { code: "upstream_failed", request_id: "req-1" } });
  });

  it("in time has a content-length and no spaces", async () => {
    const { answer, head, text, ended } = await client(false);
    answer.accept(0);
    answer.tick(49_999);
    answer.begin(source(), 49_999);
    answer.endJson('{"a":"é"}');
    await ended;
    expect(text()).toBe('{"a":"é"}');
    expect(head()?.headers["content-length"]).toBe("10");
  });
});
