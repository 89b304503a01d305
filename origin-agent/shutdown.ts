// Stops the agent on a signal: no new calls, running calls finish, then the process exits. A second signal exits at
// once.
import { Server as NetServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import { DRAIN_MS, type AgentServer } from "./server.ts";

/**
 * How long a connection must be idle before it is closed: its next call may be on its way. Also how long the process
 * stays alive after it has stopped listening: in cluster mode PM2 may be passing it a connection, which goes to its
 * successor only if this process rejects it.
 */
const LINGER_MS = 2_000;

/** How often idle connections are closed during a drain. */
const CLOSE_IDLE_MS = 250;

/** PM2 sends SIGINT on reload and stop; a service manager SIGTERM. */
export function stopOnSignals(agent: AgentServer, close: () => Promise<void>, log: Logger): void {
  const { server } = agent;
  let stopping = false;

  function stop(signal: NodeJS.Signals): void {
    if (stopping) process.exit(1);
    stopping = true;
    log.info({ event: "draining", signal });
    agent.drain();
    const lingered = pause(LINGER_MS);
    // Not http's own `close`: that closes every connection that is between two calls.
    NetServer.prototype.close.call(server, () => {
      void finish(lingered).finally(() => {
        log.info({ event: "stopped" });
        process.exit(0);
      });
    });
    // Otherwise cloudflared would keep its connections for another 90 s.
    setInterval(() => agent.closeIdle(LINGER_MS), CLOSE_IDLE_MS).unref();
    // No call outlives its deadline, so a connection that is still open then carries no call.
    setTimeout(() => process.exit(0), DRAIN_MS).unref();
  }

  async function finish(lingered: Promise<void>): Promise<void> {
    try {
      await agent.booked();
      await close();
    } finally {
      await lingered;
    }
  }

  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
}
