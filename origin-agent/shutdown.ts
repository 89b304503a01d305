// Stops the agent on a signal or after an uncaught exception: no new calls, running calls finish, then the process exits.
// A second signal exits at once.
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

/** How long running calls may take after an exception: PM2 starts the next process only after this one's exit. */
const FAULT_DRAIN_MS = 30_000;

export function stopOnSignals(agent: AgentServer, close: () => Promise<void>, log: Logger): void {
  const { server } = agent;
  let stopping = false;

  function stop(code: number, withinMs: number): void {
    stopping = true;
    agent.drain();
    const lingered = pause(LINGER_MS);
    // Not http's own `close`: that closes every connection that is between two calls.
    NetServer.prototype.close.call(server, () => {
      void finish(lingered).finally(() => {
        log.info({ event: "stopped" });
        process.exit(code);
      });
    });
    // Otherwise cloudflared would keep its connections for another 90 s.
    setInterval(() => agent.closeIdle(LINGER_MS), CLOSE_IDLE_MS).unref();
    setTimeout(() => process.exit(code), withinMs).unref();
  }

  async function finish(lingered: Promise<void>): Promise<void> {
    try {
      await agent.booked();
      await close();
    } finally {
      await lingered;
    }
  }

  // PM2 sends SIGINT on reload and stop; a service manager SIGTERM.
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (stopping) process.exit(1);
      log.info({ event: "draining", signal });
      // No call outlives its deadline, so a connection that is still open after that carries no call.
      stop(0, DRAIN_MS);
    });
  }
  // Also called for a rejection that no code handles.
  process.on("uncaughtException", (error: unknown) => {
    log.fatal({ event: "uncaught", ...withoutMessage(error) });
    if (!stopping) stop(1, FAULT_DRAIN_MS);
  });
}

const FRAME = /^ {4}at (.*(?:file:|node:|\/).*:\d+:\d+\)?)$/;

/** An exception without its message, which can quote JSON and so a patient's words. */
function withoutMessage(error: unknown): { readonly name: string; readonly frames: readonly string[] } {
  if (!(error instanceof Error)) return { name: typeof error, frames: [] };
  const { name, message, stack = "" } = error;
  // The message comes first in the stack, and its lines may look like frames.
  const start = stack.indexOf(message) + message.length;
  const lines = stack.slice(start).split("\n");
  return { name, frames: lines.flatMap((line) => (FRAME.test(line) ? [line.trim()] : [])) };
}
