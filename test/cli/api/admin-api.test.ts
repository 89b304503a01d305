// Failures between the operator and the service: messages and exit codes.
import dns from "node:dns";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { AdminApi } from "../../../cli/api/admin-api.ts";
import { CommandFailure, EXIT, failureText } from "../../../cli/failure.ts";
import { KeyList, KeyView } from "../../../shared/keys.ts";
import { until, WAIT_MS } from "../../support/until.ts";
import { ADMIN_KEY, AdminService, type Fault } from "../support/admin-service.ts";
import { reservePorts } from "../support/reserved-ports.ts";

const service = new AdminService();
let url: string;
beforeAll(async () => {
  url = await service.start();
});
afterAll(() => service.stop());
beforeEach(() => service.reset());

interface ApiOptions {
  readonly at?: string;
  readonly key?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

function api({ at = url, key = ADMIN_KEY, ...more }: ApiOptions = {}): AdminApi {
  return new AdminApi({ url: at, key, signal: new AbortController().signal, timeoutMs: WAIT_MS, ...more });
}

async function failureOf(request: Promise<unknown>): Promise<CommandFailure> {
  const error = await request.then(
    () => null,
    (error: unknown) => error,
  );
  if (!(error instanceof CommandFailure))
    throw new Error("the request didn't fail with a CommandFailure", { cause: error });
  return error;
}

const keys = (options?: ApiOptions) => failureOf(api(options).request(KeyList, "/admin/keys"));
const faulty = (fault: Fault) => {
  service.fault = fault;
  return keys();
};

describe("a refusal by the service", () => {
  it("exits with 1 and prints the message, code and request id, and advice about the key", async () => {
    const failure = await keys({ key: "isha_wrong" });
    expect(failure.exitCode).toBe(EXIT.failed);
    expect(failureText(failure)).toMatch(
      /^isha: This API key is not valid\. \(401 invalid_key\)\n[^]*\nRequest id: req_\d+\n$/,
    );
    expect(failure.detail.advice).toContain("ISHA_ADMIN_KEY");
  });

  it("because of load prints when to try again", async () => {
    const body = JSON.stringify({ error: { code: "rate_limited_key", message: "Too many." } });
    const failure = await faulty({ status: 429, headers: { "retry-after": "3" }, body });
    expect(failure.detail.advice).toBe("Try again in 3 s.");
  });
});

describe("an answer that isn't the service's", () => {
  it.each<[string, Fault, string]>([
    [
      "a login page",
      { status: 200, headers: { "content-type": "text/html; charset=utf-8" }, body: "<html>" },
      "returned 200 with text/html",
    ],
    [
      "a bare 502",
      { status: 502, headers: { "content-type": "text/plain" }, body: "bad gateway" },
      "returned 502 with text/plain",
    ],
    ["nothing", { status: 200 }, "returned 200"],
    ["another shape", { status: 200, body: '{"keys":[{"id":"x"}],"next":null}' }, "can't read (keys.0.id"],
  ])("%s exits with 1 and a message that quotes none of it", async (_name, fault, text) => {
    const failure = await faulty(fault);
    expect(failure.exitCode).toBe(EXIT.failed);
    expect(failure.message).toContain(text);
    expect(failure.message).not.toMatch(/<html>|bad gateway/);
  });

  it("a redirect is not followed: the key is sent to no other host", async () => {
    const other = new AdminService();
    const elsewhere = await other.start();
    try {
      const failure = await faulty({ status: 302, headers: { location: `${elsewhere}/admin/keys` } });
      expect(failure.message).toContain("redirects (302)");
      expect(other.requests).toEqual([]);
    } finally {
      await other.stop();
    }
  });

  it("an endless one is given up", async () => {
    const flood = createServer((_request, response) => {
      const more = (): void => {
        while (response.writable && response.write("x".repeat(1024 * 1024))) continue;
      };
      response.on("drain", more);
      more();
    });
    await new Promise<void>((resolve) => flood.listen(0, "127.0.0.1", resolve));
    try {
      const at = `http://127.0.0.1:${(flood.address() as AddressInfo).port}`;
      expect((await keys({ at })).message).toContain("larger than isha reads");
    } finally {
      flood.closeAllConnections();
      flood.close();
    }
  });

  it("endless pages are given up", async () => {
    service.fault = { body: '{"keys":[],"next":"again"}' };
    const failure = await failureOf(api().requestPages(KeyList, "/admin/keys"));
    expect(failure.message).toContain("more than 1000 pages");
  });
});

describe("no answer", () => {
  it("if nothing listens exits with 3 and names the address", async () => {
    const reserved = await reservePorts(1);
    try {
      const at = `http://127.0.0.1:${reserved.ports[0]}`;
      const failure = await keys({ at });
      expect(failure.exitCode).toBe(EXIT.unreachable);
      expect(failure.message).toBe(`Nothing listens at ${at}.`);
    } finally {
      await reserved.release();
    }
  });

  it.each(["ENOTFOUND", "EAI_AGAIN"])("for an unknown host name (%s) exits with 3", async (code) => {
    // A real resolver may take any time to answer.
    const lookup = vi.spyOn(dns, "lookup").mockImplementation((_name: string, ...more: unknown[]) => {
      const settle = more.at(-1) as (error: Error) => void;
      setImmediate(settle, Object.assign(new Error(`getaddrinfo ${code}`), { code }));
    });
    try {
      const failure = await keys({ at: "http://nowhere.invalid" });
      expect(lookup).toHaveBeenCalled();
      expect(failure.exitCode).toBe(EXIT.unreachable);
      expect(failure.message).toContain(`can't be resolved (${code})`);
    } finally {
      lookup.mockRestore();
    }
  });

  it("in time exits with 3; for a change it warns that the change may have been made", async () => {
    service.fault = { silent: true };
    const read = await keys({ timeoutMs: 50 });
    expect(read.exitCode).toBe(EXIT.unreachable);
    expect(read.message).toBe(`${url} didn't answer within 0.05 s.`);
    expect(read.detail.advice).not.toContain("may have been made");
    const changed = api({ timeoutMs: 50 }).request(KeyView, "/admin/keys/abc", { method: "DELETE" });
    expect((await failureOf(changed)).detail.advice).toContain("The change may have been made");
  });

  it("after Ctrl-C exits with 130", async () => {
    service.fault = { silent: true };
    const controller = new AbortController();
    const waiting = keys({ signal: controller.signal });
    await until(() => service.requests.length === 1);
    controller.abort();
    expect((await waiting).exitCode).toBe(EXIT.interrupted);
  });
});
