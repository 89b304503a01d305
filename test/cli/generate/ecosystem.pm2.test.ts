// The generated file under the real PM2, with simulators in place of llama-server.
import { createHmac } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { boxToken } from "../../../shared/box-token.ts";
import { MARK } from "../../origin-agent/support/llama-log.ts";
import { PM2, startPm2Box, type Pm2Box } from "../support/pm2-box.ts";
import { until } from "../../support/until.ts";

/** A killed process may never answer on an open connection; after this time the request is repeated. */
const ANSWER_MS = 10_000;

const SHELL_SECRET = "a-secret-of-the-shell-that-starts-pm2";

async function isUp(url: string, path = "/health"): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const answer = await fetch(url + path, { headers: { connection: "close" }, signal });
    await answer.text();
    return answer.status === 200;
  } catch {
    return false;
  }
}

describe.skipIf(PM2 === undefined)("under the real PM2", () => {
  let box: Pm2Box;
  beforeAll(async () => {
    box = await startPm2Box({ BOX_SECRET: SHELL_SECRET, LLAMA_ARG_PORT: "1" });
    await until(async () => {
      const up = await Promise.all([9101, 9102, 9103].map((port) => isUp(box.url(port))));
      return up.every(Boolean) && (await isUp(box.agentUrl, "/healthz"));
    });
  });
  afterAll(() => box?.stop());

  it("agent and servers run, each with its own name", async () => {
    const apps = await box.apps();
    expect(apps.map(({ name, status }) => `${name} ${status}`)).toEqual([
      "isha-agent online",
      "tiny online",
      "large online",
      "vectors online",
    ]);
  });

  it("a server's log has only lines without clients' data, and the number of withheld lines", async () => {
    // The count is written within 10 s.
    const log = await until(async () => {
      const text = await box.pm2("logs", "tiny", "--nostream", "--lines", "200");
      return text.includes("lines withheld)") && text;
    });
    expect(log).toContain("0.00.213.812 I srv  llama_server: model loaded");
    expect(log).toContain("a request failed with an exception (its text is withheld)");
    expect(log).toMatch(/\(… \d+ lines withheld\)/);
    expect(log).not.toContain(MARK);
  });

  it("PM2's own listing contains no secret", async () => {
    const listing = await box.pm2("jlist");
    for (const secret of [box.boxSecret, box.llamaApiKey, SHELL_SECRET])
      expect(listing).not.toContain(secret);
  });

  it("the agent uses the secret in the file, not one of the shell that started PM2", async () => {
    const statusWith = async (secret: string): Promise<number> => {
      const hmac = (key: string, text: string): Promise<string> =>
        Promise.resolve(createHmac("sha256", key).update(text).digest("hex"));
      const headers = { "x-isha-token": await boxToken(hmac, secret, box.box, "edge-to-agent") };
      return (await fetch(`${box.agentUrl}/v1/chat/completions`, { method: "POST", headers, body: "{}" }))
        .status;
    };
    expect(await statusWith(SHELL_SECRET)).toBe(403);
    expect(await statusWith(box.boxSecret)).not.toBe(403);
  });

  it("a killed server is restarted by PM2 with the same name", async () => {
    const before = await box.app("large");
    process.kill(before.pid, "SIGKILL");
    const after = await until(async () => {
      const app = await box.app("large");
      return app.pid !== before.pid && app.status === "online" && app;
    });
    expect(after.restarts).toBe(before.restarts + 1);
    await until(() => isUp(box.url(9102)));
    expect((await box.app("large")).pid).toBe(after.pid);
  });

  it("a reload of the agent fails no request, and leaves another process", async () => {
    const before = await box.app("isha-agent");
    const failures: unknown[] = [];
    let answered = 0;
    const reload = new AbortController();
    // From before the reload begins until after it has ended, without a pause.
    const clients = Array.from({ length: 2 }, async () => {
      while (!reload.signal.aborted) {
        try {
          const answer = await fetch(`${box.agentUrl}/healthz`, { headers: { connection: "close" } });
          if (answer.status !== 200) failures.push(answer.status);
          await answer.text();
          answered += 1;
        } catch (error) {
          failures.push(error);
        }
      }
    });
    await until(() => answered >= clients.length);
    await box.pm2("reload", "isha-agent");
    const afterReload = answered + clients.length;
    await until(() => answered > afterReload);
    reload.abort();
    await Promise.all(clients);
    expect(failures).toEqual([]);
    expect((await box.app("isha-agent")).pid).not.toBe(before.pid);
  });
});
