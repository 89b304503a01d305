// The alternatives that the whole path is compared with: nginx as a bare proxy, Portkey's gateway, and the system that
// this one replaced (nginx for limits and headers, FastAPI for routing). Each forwards to the same origin.
import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { inherited } from "../../scripts/stack/commands.ts";
import { freePort } from "../../scripts/stack/ports.ts";
import { PROJECT_NODE, ROOT } from "../../scripts/paths.ts";
import type { Stage } from "../stage.ts";

const run = promisify(execFile);
const PORTKEY = "@portkey-ai/gateway@1.15.2";

/** A peer that runs. */
export interface Peer {
  readonly url: string;
  readonly pids: readonly number[];
  /** Headers it needs besides the client's own. */
  readonly headers: Readonly<Record<string, string>>;
  readonly version: string;
}

/** Why a peer can't be measured here, and what would install it. */
export interface Missing {
  readonly missing: string;
}

export async function startNginx(stage: Stage): Promise<Peer | Missing> {
  const version = await versionOf("nginx", ["-v"]);
  if (version === null) return { missing: "nginx isn't installed (Debian: apt-get install nginx-light)" };
  const { url } = await stage.origin();
  const running = await launchNginx(stage, "nginx", url, "");
  return { ...running, headers: {}, version };
}

export async function startPortkey(stage: Stage): Promise<Peer | Missing> {
  const folder = stage.folder("portkey");
  try {
    await run("npm", ["install", "--prefix", folder, "--no-audit", "--no-fund", "--loglevel=error", PORTKEY]);
  } catch {
    return { missing: `npm couldn't install ${PORTKEY}` };
  }
  const port = await freePort();
  const program = join(folder, "node_modules/@portkey-ai/gateway/build/start-server.js");
  const { pid } = await stage.launchPeer(
    "portkey",
    {
      command: PROJECT_NODE,
      args: [program, "--headless", `--port=${port}`],
      env: { ...inherited(process.env), NODE_ENV: "production" },
    },
    port,
  );
  const { url: origin } = await stage.origin();
  return {
    url: `http://127.0.0.1:${port}`,
    pids: [pid],
    headers: { "x-portkey-provider": "openai", "x-portkey-custom-host": `${origin}/v1` },
    version: PORTKEY,
  };
}

export async function startOldStack(stage: Stage): Promise<Peer | Missing> {
  const nginx = await versionOf("nginx", ["-v"]);
  const python = await pythonWithFastApi();
  if (nginx === null || python === null) {
    const packages = "nginx-light python3-fastapi python3-uvicorn python3-httpx";
    return { missing: `nginx or FastAPI isn't installed (Debian: apt-get install ${packages})` };
  }
  const { url: origin } = await stage.origin();
  const port = await freePort();
  const app = ["-m", "uvicorn", "old_system:app", "--app-dir", join(ROOT, "bench/peers"), "--no-access-log"];
  const fastapi = await stage.launchPeer(
    "fastapi",
    {
      command: python.command,
      args: [...app, "--host", "127.0.0.1", "--port", String(port)],
      env: { ...inherited(process.env), ORIGIN: origin, PYTHONDONTWRITEBYTECODE: "1" },
    },
    port,
  );
  const front = await launchNginx(stage, "nginx-before-fastapi", fastapi.url, OLD_LIMITS);
  return {
    url: front.url,
    pids: [...front.pids, fastapi.pid],
    headers: {},
    version: `${nginx}, ${python.version}`,
  };
}

/** The system's own Python has Debian's packages, even if another one comes first on the PATH. */
async function pythonWithFastApi(): Promise<{ readonly command: string; readonly version: string } | null> {
  const program = "import fastapi, uvicorn, httpx; print('FastAPI', fastapi.__version__)";
  for (const command of ["python3", "/usr/bin/python3"]) {
    const version = await versionOf(command, ["-c", program]);
    if (version !== null) return { command, version };
  }
  return null;
}

/** As the old system's nginx had them; the limits are high enough to refuse nothing here. */
const OLD_LIMITS = `limit_req_zone $binary_remote_addr zone=ip:10m rate=100000r/s;
  limit_req_zone $http_authorization zone=key:10m rate=100000r/s;`;

const OLD_LOCATION = `limit_req zone=ip burst=100000 nodelay;
      limit_req zone=key burst=100000 nodelay;
      add_header Strict-Transport-Security "max-age=31536000" always;
      add_header Content-Security-Policy "default-src 'none'" always;
      add_header Access-Control-Allow-Origin "*" always;`;

async function launchNginx(
  stage: Stage,
  name: string,
  upstream: string,
  limits: string,
): Promise<{ url: string; pids: number[] }> {
  const port = await freePort();
  const folder = stage.folder(name);
  for (const part of ["body", "proxy", "fastcgi", "uwsgi", "scgi"])
    mkdirSync(join(folder, part), { recursive: true });
  const config = join(folder, "nginx.conf");
  writeFileSync(
    config,
    `daemon off;
worker_processes 1;
pid ${join(folder, "pid")};
error_log stderr warn;
events { worker_connections 2048; }
http {
  access_log off;
  client_body_temp_path ${join(folder, "body")};
  proxy_temp_path ${join(folder, "proxy")};
  fastcgi_temp_path ${join(folder, "fastcgi")};
  uwsgi_temp_path ${join(folder, "uwsgi")};
  scgi_temp_path ${join(folder, "scgi")};
  keepalive_requests 1000000;
  ${limits}
  upstream origin { server ${new URL(upstream).host}; keepalive 64; keepalive_requests 1000000; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      ${limits === "" ? "" : OLD_LOCATION}
    }
  }
}
`,
  );
  const command = { command: "nginx", args: ["-p", folder, "-c", config], env: inherited(process.env) };
  const { pid } = await stage.launchPeer(name, command, port);
  return { url: `http://127.0.0.1:${port}`, pids: [pid] };
}

/** The first line that a program prints about itself; null if it isn't there. */
async function versionOf(program: string, args: string[]): Promise<string | null> {
  try {
    const { stdout, stderr } = await run(program, args);
    return (stdout || stderr).split("\n", 1)[0]?.trim() ?? null;
  } catch {
    return null;
  }
}
