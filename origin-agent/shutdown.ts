// How the agent goes: no new calls, what runs may finish, then out. A second signal doesn't wait.
import { Server as NetServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import { DRAIN_MS, type AgentServer } from "./server.ts";

/**
 * How long a connection may be idle before it is let go, milliseconds: its next call may be on its way. And how long
 * the process lives at least after it stopped listening: in cluster mode PM2 may just be handing it a connection, which
 * goes to its successor only if somebody here says that it isn't taken.
 */
const LINGER_MS = 2_000;

/** How often idle connections are looked for meanwhile, milliseconds. */
const LOOK_MS = 250;

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
    // Not http's own: that cuts every connection which is just between two calls.
    NetServer.prototype.close.call(server, () => {
      void leave(lingered).finally(() => {
        log.info({ event: "stopped" });
        process.exit(0);
      });
    });
    // cloudflared would keep its connections for 90 s more.
    setInterval(() => agent.closeIdle(LINGER_MS), LOOK_MS).unref();
    // No call outlives its deadline; whatever still holds a connection then is no call.
    setTimeout(() => process.exit(0), DRAIN_MS).unref();
  }

  async function leave(lingered: Promise<void>): Promise<void> {
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
