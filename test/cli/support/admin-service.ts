// An admin API for tests of the operators' command: it holds keys in memory and answers by the schemas of shared/,
// checked on the way out; what it was asked is kept, and any route can be told to answer otherwise.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import * as z from "zod";
import { formatApiKey } from "../../../shared/api-key.ts";
import { RequestFate } from "../../../shared/failures.ts";
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

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** What a route answers in place of its own. */
export interface Fault {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Says nothing at all. */
  readonly silent?: boolean;
}

type Answered = readonly [status: number, body: unknown];
type Route = readonly [method: string, path: RegExp, answer: (asked: Asked, id: string) => Answered];

/** A usage report as CSV: any will do, it passes as it is. */
export const CSV = "day,calls\r\n2026-11-23,3\r\n";

const NOW = "2026-11-23T14:00:00Z";

export class AdminService {
  readonly asked: Asked[] = [];
  readonly keys = new Map<string, KeyView>();
  readonly audit: AuditEntry[] = [];
  readonly fates = new Map<string, RequestFate>();
  usage: UsageReport | null = null;
  fleet: FleetView | null = null;
  /** Agents of every box that are linked. */
  linked = 1;
  /** How many a page of a list has at most. */
  page = 2;
  fault: Fault | null = null;
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  async start(): Promise<string> {
    // No connection ends just as a command uses it again.
    this.#server.keepAliveTimeout = 0;
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** As new. */
  reset(): void {
    this.asked.length = 0;
    this.audit.length = 0;
    this.keys.clear();
    this.fates.clear();
    this.usage = null;
    this.fleet = null;
    this.linked = 1;
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
    const asked: Asked = {
      method: request.method ?? "",
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      body: text === "" ? null : (JSON.parse(text) as unknown),
    };
    this.asked.push(asked);
    if (this.fault?.silent === true) return;
    const requestId = `req_${String(this.asked.length).padStart(32, "0")}`;
    response.setHeader("x-request-id", requestId);
    response.setHeader("content-type", "application/json");
    if (this.fault !== null) {
      response.writeHead(this.fault.status ?? 200, { ...this.fault.headers });
      response.end(this.fault.body ?? "");
      return;
    }
    const [status, body] = this.#answerSafely(asked, request.headers.authorization);
    if (body === CSV) {
      response.setHeader("content-type", "text/csv; charset=utf-8; header=present");
      response.end(CSV);
      return;
    }
    response.writeHead(status);
    response.end(JSON.stringify(status < 300 ? body : withId(body, requestId)));
  }

  /** A test's own slip shows as an answer, not as a hanging call. */
  #answerSafely(asked: Asked, authorization: string | undefined): Answered {
    try {
      return this.#answer(asked, authorization);
    } catch (error) {
      return refused(500, "internal", `the test's service: ${String(error)}`);
    }
  }

  #answer(asked: Asked, authorization: string | undefined): Answered {
    if (authorization !== `Bearer ${ADMIN_KEY}`)
      return refused(401, "invalid_key", "This API key is not valid.");
    for (const [method, path, answer] of this.#routes) {
      const match = path.exec(asked.path);
      if (match !== null && method === asked.method) return answer(asked, decodeURIComponent(match[1] ?? ""));
    }
    return refused(404, "not_found", "There is no such route.");
  }

  readonly #routes: readonly Route[] = [
    ["POST", /^\/admin\/keys$/, ({ body }) => this.#create(body)],
    ["GET", /^\/admin\/keys$/, ({ query }) => this.#list(query)],
    [
      "GET",
      /^\/admin\/keys\/([^/]+)$/,
      (_asked, id) => this.#withKey(id, (key) => [200, KeyView.parse(key)]),
    ],
    ["PATCH", /^\/admin\/keys\/([^/]+)$/, ({ body }, id) => this.#change(id, body)],
    ["DELETE", /^\/admin\/keys\/([^/]+)$/, (_asked, id) => this.#revoke(id)],
    ["POST", /^\/admin\/keys\/([^/]+)\/rotate$/, ({ body }, id) => this.#rotate(id, body)],
    ["GET", /^\/admin\/usage$/, ({ query }) => this.#usage(query)],
    ["GET", /^\/admin\/audit$/, ({ query }) => this.#audit(query)],
    ["GET", /^\/admin\/requests\/([^/]+)$/, (_asked, id) => this.#fate(id)],
    ["GET", /^\/admin\/fleet$/, () => [200, FleetView.parse(this.fleet)]],
    [
      "POST",
      /^\/admin\/boxes\/([^/]+)\/(?:drain|resume|servers\/\d+\/restart)$/,
      (_, box) => this.#order(box),
    ],
    ["POST", /^\/admin\/alerts\/test$/, () => [200, { delivered: true }]],
  ];

  #create(body: unknown): Answered {
    const { limits, expiresAt, ...wanted } = NewKey.parse(body);
    const id = `key${String(this.keys.size).padStart(9, "0")}`;
    const key = this.addKey({
      id,
      ...wanted,
      limits: { ...limits, perSecond: limits.perSecond ?? 1000 },
      expiresAt: expiresAt === null ? null : instant(expiresAt),
    });
    return [201, KeyWithSecret.parse({ ...key, key: secretOf(id, 1) })];
  }

  #list({ after, state, limit }: Asked["query"]): Answered {
    const all = [...this.keys.values()].filter((key) => state === undefined || key.state === state);
    const start = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
    const size = Math.min(this.page, Number(limit ?? this.page));
    const keys = all.slice(start, start + size);
    const next = start + size < all.length ? (keys.at(-1)?.id ?? null) : null;
    return [200, KeyList.parse({ keys, next })];
  }

  #change(id: string, body: unknown): Answered {
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

  #revoke(id: string): Answered {
    return this.#withKey(id, (key) => [200, this.addKey({ ...key, state: "revoked", revokedAt: NOW })]);
  }

  #rotate(id: string, body: unknown): Answered {
    const { graceSeconds } = KeyRotation.parse(body);
    return this.#withKey(id, (key) => {
      const until = new Date(Date.parse(NOW) + graceSeconds * 1000).toISOString();
      const rotated = this.addKey({ ...key, oldSecretUntil: graceSeconds === 0 ? null : until });
      return [200, KeyWithSecret.parse({ ...rotated, key: secretOf(id, 2) })];
    });
  }

  #usage({ format }: Asked["query"]): Answered {
    return [200, format === "csv" ? CSV : UsageReport.parse(this.usage)];
  }

  #audit({ target, after, limit }: Asked["query"]): Answered {
    const all = this.audit.filter((entry) => target === undefined || entry.target === target);
    const start = after === undefined ? 0 : Number(after);
    const end = start + Math.min(this.page, Number(limit ?? this.page));
    const next = end < all.length ? String(end) : null;
    return [200, AuditList.parse({ entries: all.slice(start, end), next })];
  }

  #fate(id: string): Answered {
    const fate = this.fates.get(id);
    return fate === undefined
      ? refused(
          404,
          "not_found",
          "No failed request of this id is kept. It succeeded, or is older than 24 hours.",
        )
      : [200, RequestFate.parse(fate)];
  }

  #order(box: string): Answered {
    const isKnown = this.fleet === null || this.fleet.boxes.some(({ name }) => name === box);
    return isKnown
      ? [202, { box, told: this.linked }]
      : refused(404, "not_found", "The fleet has no such box. There are: north.");
  }

  #withKey(id: string, then: (key: KeyView) => Answered): Answered {
    const key = this.keys.get(id);
    return key === undefined ? refused(404, "not_found", `There is no key ${id}.`) : then(key);
  }
}

const instant = (text: string): string => new Date(text).toISOString();

/** A key of the right form, the same each time. */
export const secretOf = (id: string, round: number): string =>
  formatApiKey(id, new Uint8Array(32).fill(round));

const refused = (status: number, code: string, message: string): Answered => [
  status,
  { error: { message, type: "invalid_request_error", code, param: null } },
];

const ErrorShape = z.object({ error: z.looseObject({}) });

function withId(body: unknown, requestId: string): unknown {
  const { error } = ErrorShape.parse(body);
  return { error: { ...error, request_id: requestId } };
}
