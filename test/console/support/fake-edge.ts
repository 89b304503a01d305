// A fake edge for the pages: the built ones with their headers, and the data routes with their contracts, with faults to
// switch on. It is a real HTTP server, so that the browser's own rules apply.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { ASSETS } from "../../../scripts/build.ts";
import { ERRORS, errorBody, type ErrorCode } from "../../../shared/errors.ts";
import { FailedRequest } from "../../../shared/failures.ts";
import { FILE_HEADERS, PAGE_HEADERS } from "../../../worker/pages/page-headers.ts";
import { FakeAudit } from "./fake-audit.ts";
import { answerChat } from "./fake-chat.ts";
import type { FakeFleet } from "./fake-fleet.ts";
import { FakeKeys, fakeKey } from "./fake-keys.ts";
import { FakeUsage } from "./fake-usage.ts";

/** A stream gets an update this often, as from the edge. */
const TICK_MS = 1000;

export const ADMIN_KEY = fakeKey("console0admin");
export const ADMIN_ONLY_KEY = fakeKey("console0guard");
export const INFER_KEY = fakeKey("console0infer");

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
};

const PAGES: Readonly<Record<string, string>> = {
  "/console": "/console/index.html",
  "/docs": "/docs/guide.html",
  "/docs/reference": "/docs/reference.html",
};

export class FakeEdge {
  fleet: FakeFleet;
  keys: FakeKeys;
  usage: FakeUsage;
  audit: FakeAudit;
  readonly #clock: () => number;
  /** Received commands, such as `box1/drain`. */
  readonly commands: string[] = [];
  readonly #scopes = new Map<string, readonly string[]>([
    [ADMIN_KEY, ["admin", "infer"]],
    [ADMIN_ONLY_KEY, ["admin"]],
    [INFER_KEY, ["infer"]],
  ]);
  /** Bodies of the calls to models, in order of arrival. */
  readonly calls: unknown[] = [];
  #revoking: { readonly key: string; readonly method: string } | null = null;
  #offline = false;
  readonly #streams = new Set<ServerResponse>();
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  #ticking: ReturnType<typeof setInterval> | undefined;
  #requests = 0;

  constructor(fleet: FakeFleet, clock: () => number = Date.now) {
    this.fleet = fleet;
    this.#clock = clock;
    this.keys = new FakeKeys(clock);
    this.usage = new FakeUsage(clock);
    this.audit = new FakeAudit(clock);
    // Otherwise a connection might end while the browser reuses it.
    this.#server.keepAliveTimeout = 0;
  }

  /** Restores the initial state, with another fleet. */
  reset(fleet: FakeFleet): void {
    this.fleet = fleet;
    this.keys = new FakeKeys(this.#clock);
    this.usage = new FakeUsage(this.#clock);
    this.audit = new FakeAudit(this.#clock);
    this.commands.length = 0;
    this.calls.length = 0;
    this.#offline = false;
    this.publish();
  }

  /** Number of open streams. */
  get openStreams(): number {
    return [...this.#streams].filter(({ destroyed }) => !destroyed).length;
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    this.#ticking = setInterval(() => {
      this.fleet.tick();
      this.publish();
    }, TICK_MS);
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    clearInterval(this.#ticking);
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Sends the fleet's current state to all streams. */
  publish(): void {
    for (const stream of this.#streams)
      stream.write(`event: fleet\ndata: ${JSON.stringify(this.fleet.view())}\n\n`);
  }

  /** Refuses all requests and ends the open streams. */
  setOffline(on: boolean): void {
    this.#offline = on;
    if (on) this.endStreams();
  }

  endStreams(): void {
    for (const stream of this.#streams) stream.destroy();
  }

  /** Revokes the key after the next request with this method. */
  revokeKeyAfter(key: string, method: string): void {
    this.#revoking = { key, method };
  }

  /** Revokes the key. */
  revokeKey(key: string): void {
    this.#scopes.delete(key);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const requestId = `req_${String((this.#requests += 1)).padStart(12, "0")}`;
    response.setHeader("x-request-id", requestId);
    const refuse = (code: ErrorCode, message: string): void => {
      response.writeHead(ERRORS[code].status, { "content-type": "application/json" });
      response.end(JSON.stringify(errorBody({ code, message }, requestId)));
    };
    const url = new URL(request.url ?? "/", `http://${request.headers.host ?? "edge"}`);
    if (/^\/(console|docs)/.test(url.pathname)) return this.#file(url, response);
    if (this.#offline) return void request.socket.destroy();
    const scopes = this.#scopes.get((request.headers.authorization ?? "").replace(/^Bearer /, ""));
    if (scopes === undefined) return refuse("invalid_key", "This key is not known here.");
    const needed = url.pathname.startsWith("/admin/") ? "admin" : "infer";
    if (!scopes.includes(needed)) return refuse("scope_missing", `This key lacks the scope "${needed}".`);
    const body = await bodyOf(request);
    if (url.pathname === "/v1/chat/completions") {
      this.calls.push(body);
      return answerChat(body, response);
    }
    try {
      const answer = this.#data(request.method ?? "GET", url, body, response);
      if (this.#revoking !== null && this.#revoking.method === request.method)
        this.revokeKey(this.#revoking.key);
      if (answer === undefined) return;
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify(answer));
    } catch (error) {
      refuse("not_found", error instanceof Error ? error.message : "not found");
    }
  }

  #data(method: string, url: URL, body: unknown, response: ServerResponse): unknown {
    const path = url.pathname.split("/").slice(2).map(decodeURIComponent);
    const [area = "", first = "", second = ""] = path;
    const query = (name: string): string => url.searchParams.get(name) ?? "";
    if (area === "fleet" && first === "") return this.fleet.view();
    if (area === "fleet" && first === "history")
      return this.fleet.history(query("box"), Number(query("minutes")));
    if (area === "fleet" && first === "events") return this.#follow(response);
    if (area === "boxes") return this.#command(path);
    if (area === "audit")
      return this.audit.page(query("target"), Number(query("after") || Infinity), Number(query("limit")));
    if (area === "usage") return this.usage.answer(url.searchParams, response);
    if (area === "requests") return this.#failure(first);
    if (area !== "keys") throw new Error("There is no such route.");
    if (first === "")
      return method === "POST"
        ? this.keys.create(body)
        : this.keys.page(query("after"), Number(query("limit") || 100));
    if (second === "rotate") return this.keys.rotate(first, (body as { graceSeconds: number }).graceSeconds);
    return method === "DELETE" ? this.keys.revoke(first) : this.keys.change(first, body);
  }

  #follow(response: ServerResponse): undefined {
    response.writeHead(200, { "content-type": "text/event-stream" });
    this.#streams.add(response);
    response.on("close", () => this.#streams.delete(response));
    this.publish();
    return undefined;
  }

  #command([, box = "", ...rest]: readonly string[]): unknown {
    const found = this.fleet.box(box);
    this.commands.push([box, ...rest].join("/"));
    if (rest[0] === "drain") found.state = "draining";
    if (rest[0] === "resume") found.state = "up";
    this.publish();
    return { ok: true };
  }

  #failure(id: string): FailedRequest {
    const failure = this.fleet.failures.find(({ requestId }) => requestId === id);
    if (failure === undefined) throw new Error("There is no record of this request.");
    return FailedRequest.parse({ ...failure, at: new Date(failure.at).toISOString() });
  }

  async #file({ pathname, origin, host }: URL, response: ServerResponse): Promise<void> {
    const page = PAGES[pathname];
    try {
      const file = await readFile(join(ASSETS, page ?? pathname));
      const headers = page === undefined ? FILE_HEADERS : PAGE_HEADERS;
      response.writeHead(200, { ...headers, "content-type": TYPES[extname(page ?? pathname)] ?? "" });
      response.end(
        page === undefined
          ? file
          : file.toString().replaceAll("{{origin}}", origin).replaceAll("{{host}}", host),
      );
    } catch {
      response.writeHead(404).end();
    }
  }
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) text += String(chunk);
  return text === "" ? null : JSON.parse(text);
}
