// An admin API for tests of the operators' command: it keeps keys in memory and records requests. Every answer is
// validated against the schemas of shared/, unless a test sets a fault.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import * as z from "zod";
import { formatApiKey } from "../../../shared/api-key.ts";
import { FailedRequest } from "../../../shared/failures.ts";
import { FleetView } from "../../../shared/fleet-view.ts";
import {
  AuditList,
  KeyChange,
  KeyList,
  KeyRotation,
  KeyView,
  KeyWithSecret,
  NewKey,
  type AuditEntry,
} from "../../../shared/keys.ts";
import { UsageReport } from "../../../shared/usage-report.ts";

export const ADMIN_KEY = "dev-admin";

interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** Replaces the answer of every route. */
export interface Fault {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Never answers. */
  readonly silent?: boolean;
}

type Reply = readonly [status: number, body: unknown];
type Route = readonly [method: string, path: RegExp, reply: (request: ReceivedRequest, id: string) => Reply];

const RESTARTED: Reply = [
  200,
  {
    box: "north",
    port: 9000,
    agents: 1,
    outcome: "ready",
    tookMs: 9_120,
    text: "9000 (Model-9000) on north was restarted by an operator, ready after 9.1 s",
    advice: "",
  },
];

/** A usage report as CSV: the command must not change it. */
export const CSV = "day,calls\r\n2026-11-23,3\r\n";

const NOW = "2026-11-23T14:00:00Z";

export class AdminService {
  readonly requests: ReceivedRequest[] = [];
  readonly keys = new Map<string, KeyView>();
  readonly audit: AuditEntry[] = [];
  readonly failures = new Map<string, FailedRequest>();
  usage: UsageReport | null = null;
  fleet: FleetView | null = null;
  /** Number of linked agents of every box. */
  linked = 1;
  /** The outcome of a restart, as the service reports it. */
  restarted: Reply = RESTARTED;
  /** Maximum rows of a page. */
  page = 2;
  fault: Fault | null = null;
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  async start(): Promise<string> {
    // Otherwise a connection might end while a command reuses it.
    this.#server.keepAliveTimeout = 0;
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Restores the initial state. */
  reset(): void {
    this.requests.length = 0;
    this.audit.length = 0;
    this.keys.clear();
    this.failures.clear();
    this.usage = null;
    this.fleet = null;
    this.linked = 1;
    this.restarted = RESTARTED;
    this.fault = null;
  }

  addKey(given: Partial<KeyView> & { readonly id: string }): KeyView {
    const key: KeyView = {
      name: "Riverside Clinic",
      state: "active",
      scopes: ["infer"],
      agents: null,
      limits: { perSecond: 1000, concurrent: null, tokensPerMonth: null },
      priority: "normal",
      fallback: "auto",
      addressExempt: false,
      expiresAt: null,
      createdAt: NOW,
      revokedAt: null,
      oldSecretUntil: null,
      ...given,
    };
    this.keys.set(key.id, key);
    return key;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const url = new URL(request.url ?? "/", "http://service");
    const text = Buffer.concat(chunks).toString();
    const received: ReceivedRequest = {
      method: request.method ?? "",
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      body: text === "" ? null : (JSON.parse(text) as unknown),
    };
    this.requests.push(received);
    if (this.fault?.silent === true) return;
    const requestId = `req_${String(this.requests.length).padStart(32, "0")}`;
    response.setHeader("x-request-id", requestId);
    response.setHeader("content-type", "application/json");
    if (this.fault !== null) {
      response.writeHead(this.fault.status ?? 200, { ...this.fault.headers });
      response.end(this.fault.body ?? "");
      return;
    }
    const [status, body] = this.#replySafely(received, request.headers.authorization);
    if (body === CSV) {
      response.setHeader("content-type", "text/csv; charset=utf-8; header=present");
      response.end(CSV);
      return;
    }
    response.writeHead(status);
    response.end(JSON.stringify(status < 300 ? body : withId(body, requestId)));
  }

  /** Turns an error in this service into an answer, so that the call doesn't hang. */
  #replySafely(request: ReceivedRequest, authorization: string | undefined): Reply {
    try {
      return this.#reply(request, authorization);
    } catch (error) {
      return refused(500, "internal", `the test's service: ${String(error)}`);
    }
  }

  #reply(request: ReceivedRequest, authorization: string | undefined): Reply {
    if (authorization !== `Bearer ${ADMIN_KEY}`)
      return refused(401, "invalid_key", "This API key is not valid.");
    for (const [method, path, reply] of this.#routes) {
      const match = path.exec(request.path);
      if (match !== null && method === request.method)
        return reply(request, decodeURIComponent(match[1] ?? ""));
    }
    return refused(404, "not_found", "There is no such route.");
  }

  readonly #routes: readonly Route[] = [
    ["POST", /^\/admin\/keys$/, ({ body }) => this.#create(body)],
    ["GET", /^\/admin\/keys$/, ({ query }) => this.#list(query)],
    [
      "GET",
      /^\/admin\/keys\/([^/]+)$/,
      (_request, id) => this.#withKey(id, (key) => [200, KeyView.parse(key)]),
    ],
    ["PATCH", /^\/admin\/keys\/([^/]+)$/, ({ body }, id) => this.#change(id, body)],
    ["DELETE", /^\/admin\/keys\/([^/]+)$/, (_request, id) => this.#revoke(id)],
    ["POST", /^\/admin\/keys\/([^/]+)\/rotate$/, ({ body }, id) => this.#rotate(id, body)],
    ["GET", /^\/admin\/usage$/, ({ query }) => this.#usage(query)],
    ["GET", /^\/admin\/audit$/, ({ query }) => this.#audit(query)],
    ["GET", /^\/admin\/requests\/([^/]+)$/, (_request, id) => this.#failure(id)],
    ["GET", /^\/admin\/fleet$/, () => [200, FleetView.parse(this.fleet)]],
    ["POST", /^\/admin\/boxes\/([^/]+)\/(?:drain|resume)$/, (_, box) => this.#command(box)],
    ["POST", /^\/admin\/boxes\/[^/]+\/servers\/\d+\/restart$/, () => this.restarted],
    ["POST", /^\/admin\/alerts\/test$/, () => [200, { delivered: true }]],
  ];

  #create(body: unknown): Reply {
    const { limits, expiresAt, ...properties } = NewKey.parse(body);
    const id = `key${String(this.keys.size).padStart(9, "0")}`;
    const key = this.addKey({
      id,
      ...properties,
      limits: { ...limits, perSecond: limits.perSecond ?? 1000 },
      expiresAt: expiresAt === null ? null : instant(expiresAt),
    });
    return [201, KeyWithSecret.parse({ ...key, key: secretOf(id, 1) })];
  }

  #list({ after, state, limit }: ReceivedRequest["query"]): Reply {
    const all = [...this.keys.values()].filter((key) => state === undefined || key.state === state);
    const start = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
    const size = Math.min(this.page, Number(limit ?? this.page));
    const keys = all.slice(start, start + size);
    const next = start + size < all.length ? (keys.at(-1)?.id ?? null) : null;
    return [200, KeyList.parse({ keys, next })];
  }

  #change(id: string, body: unknown): Reply {
    const { limits, expiresAt, ...rest } = KeyChange.parse(body);
    return this.#withKey(id, (key) => {
      const changed = {
        ...key,
        ...rest,
        limits: { ...key.limits, ...limits },
        expiresAt: expiresAt === undefined ? key.expiresAt : expiresAt === null ? null : instant(expiresAt),
      };
      return [200, this.addKey(KeyView.parse(changed))];
    });
  }

  #revoke(id: string): Reply {
    return this.#withKey(id, (key) => [200, this.addKey({ ...key, state: "revoked", revokedAt: NOW })]);
  }

  #rotate(id: string, body: unknown): Reply {
    const { graceSeconds } = KeyRotation.parse(body);
    return this.#withKey(id, (key) => {
      const until = new Date(Date.parse(NOW) + graceSeconds * 1000).toISOString();
      const rotated = this.addKey({ ...key, oldSecretUntil: graceSeconds === 0 ? null : until });
      return [200, KeyWithSecret.parse({ ...rotated, key: secretOf(id, 2) })];
    });
  }

  #usage({ format }: ReceivedRequest["query"]): Reply {
    return [200, format === "csv" ? CSV : UsageReport.parse(this.usage)];
  }

  #audit({ target, after, limit }: ReceivedRequest["query"]): Reply {
    const all = this.audit.filter((entry) => target === undefined || entry.target === target);
    const start = after === undefined ? 0 : Number(after);
    const end = start + Math.min(this.page, Number(limit ?? this.page));
    const next = end < all.length ? String(end) : null;
    return [200, AuditList.parse({ entries: all.slice(start, end), next })];
  }

  #failure(id: string): Reply {
    const failure = this.failures.get(id);
    return failure === undefined
      ? refused(
          404,
          "not_found",
          "There is no failed request with this id. It succeeded, or is older than 24 hours.",
        )
      : [200, FailedRequest.parse(failure)];
  }

  #command(box: string): Reply {
    const isKnown = this.fleet === null || this.fleet.boxes.some(({ name }) => name === box);
    return isKnown
      ? [202, { box, agents: this.linked }]
      : refused(404, "not_found", "The fleet has no such box. There are: north.");
  }

  #withKey(id: string, then: (key: KeyView) => Reply): Reply {
    const key = this.keys.get(id);
    return key === undefined ? refused(404, "not_found", `There is no key ${id}.`) : then(key);
  }
}

const instant = (text: string): string => new Date(text).toISOString();

/** A well-formed key, the same each time. */
export const secretOf = (id: string, round: number): string =>
  formatApiKey(id, new Uint8Array(32).fill(round));

export const refused = (status: number, code: string, message: string): Reply => [
  status,
  { error: { message, type: "invalid_request_error", code, param: null } },
];

const ErrorShape = z.object({ error: z.looseObject({}) });

function withId(body: unknown, requestId: string): unknown {
  const { error } = ErrorShape.parse(body);
  return { error: { ...error, request_id: requestId } };
}
