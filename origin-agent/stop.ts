// How the agent goes: no new connections, what runs may finish, then out. A second signal doesn't wait.
import type { Server } from "node:http";
import type { Logger } from "pino";
import { CALL_DEADLINE_MS } from "../shared/limits.ts";

/** How often connections that have become idle are let go. */
const SWEEP_MS = 50;

/** PM2 sends SIGINT on reload and stop; a service manager SIGTERM. */
export function stopOnSignals(server: Server, log: Logger): void {
  let stopping = false;

  function stop(signal: NodeJS.Signals): void {
    if (stopping) process.exit(1);
    stopping = true;
    log.info({ event: "draining", signal });
    server.close(() => {
      log.info({ event: "stopped" });
      process.exit(0);
    });
    // A connection is idle only once its call is answered; cloudflared would keep it for 90 s more.
    server.closeIdleConnections();
    setInterval(() => server.closeIdleConnections(), SWEEP_MS).unref();
    // No call outlives its deadline; whatever still holds a connection then is no call.
    setTimeout(() => process.exit(0), CALL_DEADLINE_MS).unref();
  }

  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
}
