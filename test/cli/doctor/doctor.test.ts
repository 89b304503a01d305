// Each check of `isha doctor` on a machine that a test puts together: what it calls fine, and what it calls wrong, with
// which fix.
import { describe, expect, it } from "vitest";
import { runChecks } from "../../../cli/doctor/check.ts";
import type { Machine } from "../../../cli/doctor/machine.ts";
import { SERVER_CHECKS } from "../../../cli/doctor/server-checks.ts";
import { around, check, DUMP, DUMP_FILE, HEALTH, LLAMA, type World } from "./support/world.ts";

const LIVEZ = "https://ai.isha.buzz/livez";
const EDGE = {
  headers: { "x-request-id": "req_1", date: "Mon, 23 Nov 2026 14:30:01 GMT" },
  text: '{"status":"ok"}',
};
const ORIGIN = "https://box1.isha.buzz/healthz";
const AGENT = "http://127.0.0.1:8000";
const ENV_FILE = "/home/isha/.isha/agent.env";
const KEY_FILE = "/home/isha/.isha/llama-api-key";
const SECRETS = { [ENV_FILE]: "BOX_SECRET=0123456789abcdef\nLLAMA_API_KEY=k\n", [KEY_FILE]: "k\n" };
const SMI = (line: string): World => ({ programs: { "nvidia-smi": { code: 0, out: `${line}\n` } } });
const TOKEN = { ACCESS_CLIENT_ID: "id", ACCESS_CLIENT_SECRET: "s" };

describe("a check calls fine", () => {
  it.each<[string, World, string]>([
    ["edge", { answers: { [LIVEZ]: EDGE } }, "answered by the edge"],
    [
      "edge-https",
      { answers: { "http://ai.isha.buzz/livez": { status: 308, headers: { location: LIVEZ } } } },
      "redirected",
    ],
    [
      "service-health",
      { answers: { [HEALTH]: { text: '{"status":"ok","boxes":{"box1":"up"},"models":{"A":"ready"}}' } } },
      "every model",
    ],
    ["clock", { answers: { [LIVEZ]: EDGE } }, "agrees"],
    ["tunnel-box1", { answers: { [ORIGIN]: { status: 403 } } }, "protected by Access"],
    [
      "tunnel-box1",
      { answers: { [ORIGIN]: { status: 302, headers: { location: "https://x.cloudflareaccess.com/" } } } },
      "protected by Access",
    ],
    [
      "access-token-box1",
      { env: TOKEN, answers: { [ORIGIN]: { headers: { "x-isha-agent": "box1" } } } },
      "reaches the agent",
    ],
    [
      "access-token-box1",
      {
        files: { "/home/isha/.isha/worker-secrets.json": JSON.stringify(TOKEN) },
        answers: { [ORIGIN]: { headers: { "x-isha-agent": "box1" } } },
      },
      "reaches the agent",
    ],
    ["secrets", { files: SECRETS }, "for their owner alone"],
    [
      "agent",
      {
        answers: {
          [`${AGENT}/healthz`]: { text: '{"box":"box1","version":"1.2"}' },
          [`${AGENT}/fleet`]: { text: '{"linked":true}' },
        },
      },
      "version 1.2",
    ],
    ["disk", {}, "are free"],
    ["gpu", SMI("NVIDIA GeForce RTX 3090, 570.153.02, Enabled, 24576, 23500"), "driver 570.153.02"],
    [
      "pm2-node",
      {
        files: { "/home/isha/.pm2/pm2.pid": "12\n" },
        programs: { "/proc/12/exe": { code: 0, out: "v24.21.0\n" } },
      },
      "Node 24.21",
    ],
    [
      "pm2-boot",
      { files: { [DUMP_FILE]: DUMP }, programs: { systemctl: { code: 0, out: "enabled\n" } } },
      "starts at boot",
    ],
    ["pm2-logs", { modes: { "/etc/logrotate.d/isha": 0o644 } }, "logrotate"],
    [
      "llama-build",
      { programs: { [LLAMA]: { code: 0, out: "version: 6912 (de3ff81)\n" } } },
      "build b6912 (de3ff81)",
    ],
    ["llama-environment", {}, "no LLAMA_ARG_"],
  ])("%s", async (name, world, text) => {
    const result = await check(name, world);
    expect(result).toMatchObject({ verdict: "fine", text: expect.stringContaining(text) });
    expect(result.fix).toBeUndefined();
  });
});

describe("a check calls wrong, with the command that fixes it", () => {
  it.each<[string, World, string, string]>([
    ["edge", {}, "can't be", "address"],
    [
      "edge",
      { answers: { [LIVEZ]: { text: "<!DOCTYPE html>", headers: { "content-type": "text/html" } } } },
      "web page",
      "Bot Fight Mode",
    ],
    [
      "edge",
      { answers: { [LIVEZ]: { status: 403, headers: { "cf-mitigated": "challenge" } } } },
      "web page",
      "Browser Integrity Check",
    ],
    [
      "edge",
      { answers: { [LIVEZ]: { status: 404, text: "{}" } } },
      "not answered by the edge (404)",
      "npm run deploy",
    ],
    [
      "edge-https",
      { answers: { "http://ai.isha.buzz/livez": { status: 200 } } },
      "answered with 200",
      "npm run deploy",
    ],
    [
      "service-health",
      {
        answers: {
          [HEALTH]: { status: 503, text: '{"boxes":{"box1":"unreachable"},"models":{"A":"down"}}' },
        },
      },
      "box1 is unreachable, A is down",
      "isha status",
    ],
    [
      "clock",
      { answers: { [LIVEZ]: { headers: { date: "Mon, 23 Nov 2026 14:31:00 GMT" } } } },
      "off by 60 s",
      "timedatectl",
    ],
    ["tunnel-box1", {}, "box1.isha.buzz", "cloudflared tunnel route dns"],
    ["tunnel-box1", { answers: { [ORIGIN]: { status: 530 } } }, "no connection", "restart cloudflared"],
    [
      "tunnel-box1",
      { answers: { [ORIGIN]: { headers: { "x-isha-agent": "box1" } } } },
      "without Access",
      "Service Auth",
    ],
    [
      "tunnel-box1",
      { answers: { [ORIGIN]: { status: 200 } } },
      "neither Access nor the agent",
      "isha doctor --box box1",
    ],
    [
      "access-token-box1",
      { env: TOKEN, answers: { [ORIGIN]: { status: 403 } } },
      "isn't allowed",
      "Service Auth",
    ],
    [
      "access-token-box1",
      { env: TOKEN, answers: { [ORIGIN]: { headers: { "x-isha-agent": "box2" } } } },
      "the agent of box2",
      "ingress",
    ],
    ["secrets", {}, "agent.env is missing", "isha secrets init"],
    ["secrets", { files: SECRETS, modes: { [ENV_FILE]: 0o644 } }, "by other users", `chmod 600 ${ENV_FILE}`],
    [
      "secrets",
      { files: { ...SECRETS, [KEY_FILE]: "other" } },
      "different keys",
      "isha secrets rotate llama-api-key",
    ],
    [
      "secrets",
      { files: { ...SECRETS, [ENV_FILE]: "LLAMA_API_KEY=k" } },
      "no BOX_SECRET",
      "isha secrets init",
    ],
    ["agent", {}, "nothing listens", "pm2 logs isha-agent"],
    ["agent", { answers: { [`${AGENT}/healthz`]: { text: "hello" } } }, "another program", "ss -ltnp"],
    [
      "agent",
      { answers: { [`${AGENT}/healthz`]: { text: '{"box":"box2"}' } } },
      "the one of box2",
      "ISHA_BOX",
    ],
    [
      "agent",
      {
        answers: {
          [`${AGENT}/healthz`]: { text: '{"box":"box1"}' },
          [`${AGENT}/fleet`]: { text: '{"linked":false}' },
        },
      },
      "no link",
      "pm2 logs isha-agent",
    ],
    [
      "agent",
      {
        answers: {
          [`${AGENT}/healthz`]: { text: '{"box":"box1"}' },
          [`${AGENT}/fleet`]: { text: '{"linked":true,"fleetFault":"boxes[0].vramGib: Too small"}' },
        },
      },
      "last valid fleet file; the current one is invalid: boxes[0].vramGib",
      "pm2 reload isha-agent",
    ],
    ["disk", { freeGib: 0.4 }, "0.4 GiB left", "pm2 flush"],
    ["gpu", {}, "no nvidia-smi", "nvidia-driver"],
    [
      "gpu",
      {
        programs: { "nvidia-smi": { code: 9, out: "NVIDIA-SMI has failed because it couldn't communicate" } },
      },
      "driver",
      "reboot",
    ],
    ["gpu", SMI("NVIDIA GeForce RTX 3060, 570.153.02, Enabled, 12288, 100"), "12.0 GiB", "isha plan"],
    [
      "gpu",
      SMI("NVIDIA GeForce RTX 3090, 570.153.02, Enabled, 26576, 26000"),
      "another program",
      "compute-apps",
    ],
    [
      "gpu",
      SMI("NVIDIA GeForce RTX 3090, 570.153.02, Disabled, 24576, 23500"),
      "persistence",
      "nvidia-smi -pm 1",
    ],
    ["pm2", {}, "isn't running", "pm2 start ecosystem.config.cjs"],
    [
      "pm2-node",
      {
        files: { "/home/isha/.pm2/pm2.pid": "12" },
        programs: { "/proc/12/exe": { code: 0, out: "v20.19.5" } },
      },
      "Node 20.19",
      "pm2 update",
    ],
    ["pm2-boot", {}, "never saved", "pm2 save"],
    ["pm2-boot", { files: { [DUMP_FILE]: '[{"name":"isha-agent"}]' } }, "lacks llama-qwen-8080", "pm2 save"],
    [
      "pm2-boot",
      { files: { [DUMP_FILE]: DUMP }, programs: { systemctl: { code: 1, out: "disabled\n" } } },
      "at boot",
      "pm2 startup",
    ],
    ["pm2-logs", {}, "grow without end", "pm2-logrotate"],
    ["llama-build", {}, "missing", "docs/deploy.md"],
    [
      "llama-flags",
      { programs: { [LLAMA]: { code: 0, out: "-m, --model FNAME  the model" } } },
      "doesn't know --host",
      "another build",
    ],
    [
      "llama-environment",
      { env: { LLAMA_ARG_CTX_SIZE: "512" } },
      "LLAMA_ARG_CTX_SIZE",
      "unset LLAMA_ARG_CTX_SIZE",
    ],
    [
      "llama-environment",
      { answers: { "http://127.0.0.1:8080/props": { text: '{"is_sleeping":true}' } } },
      "sleeps",
      "--sleep-idle-seconds",
    ],
    [
      "llama-environment",
      { answers: { "http://127.0.0.1:8081/props": { text: '{"role":"router"}' } } },
      "router",
      "-m",
    ],
  ])("%s %#", async (name, world, text, fix) => {
    expect(await check(name, world)).toMatchObject({
      verdict: "wrong",
      text: expect.stringContaining(text),
      fix: expect.stringContaining(fix),
    });
  });

  it("log-canary, if PM2's log has the prompt that was sent", async () => {
    const surroundings = around({});
    let prompt = "";
    const machine: Machine = {
      ...surroundings.machine,
      fetch: (_url, { body }) => {
        if (typeof body !== "string") throw new Error("the canary is sent as text");
        prompt = (JSON.parse(body) as { messages: [{ content: string }] }).messages[0].content;
        return Promise.resolve({ status: 200, text: "{}", headers: new Headers() });
      },
      tail: (path) => Promise.resolve(path.endsWith("llama-qwen-8082-error.log") ? `prompt: ${prompt}` : ""),
    };
    const canary = SERVER_CHECKS.filter(({ name }) => name === "log-canary");
    const [result] = await runChecks(canary, { ...surroundings, machine }, new AbortController().signal);
    expect(result).toMatchObject({
      verdict: "wrong",
      text: expect.stringContaining("llama-qwen-8082-error.log"),
    });
    expect(JSON.stringify(result)).not.toContain(prompt);
  });
});
