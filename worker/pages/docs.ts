// GET /docs: one page about requests, models and errors. It is generated from the fleet file and the error table, so that
// it is always correct.
import type { Context } from "hono";
import { html, raw } from "hono/html";
import { ERRORS } from "../../shared/errors.ts";
import { DEFAULT_AGENT, type FleetConfig, type Server } from "../../shared/fleet.ts";
import { BODY_TIMEOUT_MS, CALL_DEADLINE_MS } from "../../shared/limits.ts";
import type { EdgeEnv } from "../context.ts";

const STYLE = `
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { font: 16px/1.6 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1.5rem; }
h1 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
pre { overflow-x: auto; padding: 1rem; border: 1px solid var(--line); border-radius: .5rem; }
code { font: .9em ui-monospace, monospace; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); }
`;

export function docs(fleet: FleetConfig) {
  const page = pageOf(fleet);
  let policy: string | null = null;
  return async function answerDocs(c: Context<EdgeEnv>): Promise<Response> {
    policy ??= `default-src 'none'; style-src 'sha256-${await sha256Base64(STYLE)}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'`;
    return c.html(page, 200, { "content-security-policy": policy, "cache-control": "public, max-age=300" });
  };
}

export function toDocs() {
  return function redirectToDocs(c: Context<EdgeEnv>): Response {
    return c.redirect("/docs", 302);
  };
}

function pageOf(fleet: FleetConfig) {
  const servers = [
    ...new Map(fleet.boxes.flatMap((box) => box.servers).map((server) => [server.port, server])).values(),
  ];
  const example = servers.find((server) => server.agents.length > 0) ?? servers[0];
  const agent = example?.agents[0] ?? DEFAULT_AGENT;
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${fleet.domain}: API</title>
        ${raw(`<style>${STYLE}</style>`)}
      </head>
      <body>
        <main>
          <h1>${fleet.domain}</h1>
          <p>
            Medical and insurance language models with one API. A request names an agent type, and the right
            model answers.
          </p>
          <h2>Requests</h2>
          <pre><code>${curl(fleet.domain, { agent_type: agent, messages: [{ role: "user", content: "…" }] })}</code></pre>
          <p>
            Send the key in <code>Authorization: Bearer …</code> or <code>x-api-key</code>. Add
            <code>"stream": true</code> to stream the answer. With OpenAI's SDK, set the base URL to
            <code>https://${fleet.domain}/v1</code> and use an agent type or a model as <code>model</code>.
          </p>
          <h2>Models</h2>
          <div class="wide">
            <table>
              <thead>
                <tr>
                  <th scope="col">agent types</th>
                  <th scope="col">model</th>
                  <th scope="col">port</th>
                  <th scope="col">best for</th>
                  <th scope="col">tokens (context, answer)</th>
                </tr>
              </thead>
              <tbody>
                ${servers.map((server) => serverRow(server, fleet))}
              </tbody>
            </table>
          </div>
          <p>The first of these fields selects the model:</p>
          <ol>
            <li><code>model_port</code>: the model's port; an unknown port is an error.</li>
            <li>
              <code>agent_type</code>, in any letter case; an unknown one selects port ${fleet.defaultPort}.
            </li>
            <li>
              <code>model</code>: an agent type, a model's name or its file; an unknown one
              ${fleet.unknownModel === "refuse" ? "is an error" : `selects port ${fleet.defaultPort}`}.
            </li>
            <li>Without any of them: port ${fleet.defaultPort}.</li>
          </ol>
          <p>
            If a model is not up, another one answers. The header <code>x-isha-fallback-from</code> and, in
            Mediczy's format, <code>isha.fallback_from</code> then have the port that the request selected.
            With <code>"fallback": false</code> the request fails with 503
            <code>model_unavailable</code> instead.
          </p>
          <h2>Answers</h2>
          <p>
            A request with <code>agent_type</code> or <code>model_port</code>, or without <code>model</code>,
            gets Mediczy's format: the text is in <code>choices[0].text</code> and
            <code>choices[0].message.content</code>, and <code>isha</code> has the port and the box that
            answered. A request that names only <code>model</code> gets OpenAI's format.
            <code>"format": "openai"</code> or <code>"format": "mediczy"</code> selects one explicitly.
          </p>
          <h2>Errors</h2>
          <p>
            Every error is <code>{"error": {"message", "type", "code", "param", "request_id"}}</code>; the
            message explains what to do. A stream that fails after its first byte ends with an event of this
            form, without <code>[DONE]</code>.
          </p>
          <div class="wide">
            <table>
              <thead>
                <tr>
                  <th scope="col">status</th>
                  <th scope="col">code</th>
                  <th scope="col">retry?</th>
                </tr>
              </thead>
              <tbody>
                ${Object.entries(ERRORS).map(
                  ([code, row]) =>
                    html`<tr>
                      <td>${row.status}</td>
                      <td><code>${code}</code></td>
                      <td>
                        ${row.retry === "never" ? "no" : row.retry === "later" ? "after Retry-After" : "yes"}
                      </td>
                    </tr>`,
                )}
              </tbody>
            </table>
          </div>
          <h2>Limits</h2>
          <p>
            ${fleet.limits.perKeyPerSecond} requests per second for a key, ${fleet.limits.perAddressPerSecond}
            for an address. A request's body may have up to ${fleet.maxBodyKib} KiB and must arrive within
            ${BODY_TIMEOUT_MS / 1000} seconds. A call may take up to ${CALL_DEADLINE_MS / 1000} seconds.
          </p>
          <h2>Other routes</h2>
          <p>
            <code>GET /v1/models</code>, <code>GET /v1/models/:id</code>: the models and their current state
            (needs a key). <code>GET /healthz</code>: the service's health; with
            <code>?require=${agent}</code> or <code>?require=all</code> it is 503 if that isn't available.
            <code>GET /livez</code>: whether the edge itself answers.
          </p>
        </main>
      </body>
    </html>`;
}

function serverRow(server: Server, fleet: FleetConfig) {
  const agents = [...server.agents, ...(server.port === fleet.defaultPort ? ["any other, or none"] : [])];
  return html`<tr>
    <td>${agents.join(", ")}</td>
    <td>${server.model}</td>
    <td>${server.port}</td>
    <td>${server.bestFor}</td>
    <td>${server.contextPerSlot}, ${server.maxTokens}</td>
  </tr>`;
}

function curl(domain: string, body: object): string {
  return `curl https://${domain}/v1/chat/completions \\
  -H "Authorization: Bearer $ISHA_KEY" -H "Content-Type: application/json" \\
  -d '${JSON.stringify(body)}'`;
}

async function sha256Base64(text: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return btoa(String.fromCharCode(...digest));
}
