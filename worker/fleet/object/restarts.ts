// Waits for the ends of the restarts that operators ordered, and words them once for the event, the audit and the
// operator's answer. A report that arrives after its operator stopped waiting is an event all the same.
import { measuredText } from "../../../shared/duration.ts";
import type { RestartedFrame, RestartOutcome } from "../../../shared/wire.ts";
import type { FleetEvent } from "../../../shared/fleet-view.ts";

/** Ids of handled reports that are remembered, because a frame can arrive twice: a minute's worth on ten boxes. */
const MAX_HANDLED = 256;

/** The end of a restart, for operators. */
export interface RestartEnd {
  readonly outcome: RestartOutcome;
  readonly tookMs: number;
  /** "8085 (BiMediX2-8B) on box1 was restarted by an operator, ready after 9.1 s". */
  readonly text: string;
  /** What to do; empty if nothing is to be done. */
  readonly advice: string;
}

export class PendingRestarts {
  /** By the command's id. */
  readonly #waiting = new Map<string, (end: RestartEnd | null) => void>();
  readonly #handled = new Set<string>();

  /** Waits for the end of a restart; null if the agent doesn't report it in time. */
  wait(id: string, withinMs: number): Promise<RestartEnd | null> {
    return new Promise((resolve) => {
      const settle = (end: RestartEnd | null): void => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        resolve(end);
      };
      const timer = setTimeout(() => settle(null), withinMs);
      this.#waiting.set(id, settle);
    });
  }

  /** Whether a report arrived for the first time. */
  isNew({ id }: Pick<RestartedFrame, "id">): boolean {
    if (this.#handled.has(id)) return false;
    const [oldest] = this.#handled;
    if (oldest !== undefined && this.#handled.size >= MAX_HANDLED) this.#handled.delete(oldest);
    this.#handled.add(id);
    return true;
  }

  end(id: string, end: RestartEnd): void {
    this.#waiting.get(id)?.(end);
  }

  /** No agent received it. */
  cancel(id: string): void {
    this.#waiting.get(id)?.(null);
  }
}

/** The restarted server, as its texts name it. */
export interface RestartedServer {
  readonly box: string;
  readonly port: number;
  /** `8085 (BiMediX2-8B) on box1`. */
  readonly name: string;
  /** Its name in PM2. */
  readonly process: string;
}

export function restartEnd(
  { outcome, tookMs }: Pick<RestartedFrame, "outcome" | "tookMs">,
  server: RestartedServer,
): RestartEnd {
  const { name } = server;
  const took = measuredText(tookMs);
  switch (outcome) {
    case "ready":
      return {
        outcome,
        tookMs,
        text: `${name} was restarted by an operator, ready after ${took}`,
        advice: "",
      };
    case "not-ready":
      return {
        outcome,
        tookMs,
        text: `${name} was restarted by an operator, but is not ready after ${took}`,
        advice: `It may still be loading: \`isha status\`. Its log, on ${server.box}: \`pm2 logs ${server.process}\`.`,
      };
    default: {
      const [cause, advice] = failure(outcome, server);
      return { outcome, tookMs, text: `${name} was not restarted: ${cause}`, advice };
    }
  }
}

function failure(
  outcome: Exclude<RestartOutcome, "ready" | "not-ready">,
  { box, port, process }: RestartedServer,
): readonly [cause: string, advice: string] {
  switch (outcome) {
    case "no-pm2":
      return [
        `PM2 doesn't answer on ${box}`,
        `On ${box}, as the user that runs the agent: \`pm2 status\`, \`pm2 resurrect\`.`,
      ];
    case "unknown-name":
      return [
        `PM2 on ${box} has no process ${process}`,
        `On ${box}: \`pm2 start ecosystem.config.cjs --only ${process}\`, then \`pm2 save\`.`,
      ];
    case "failed":
      return [
        `PM2 could not restart ${process}`,
        `On ${box}: \`pm2 describe ${process}\`, \`pm2 logs ${process}\`.`,
      ];
    case "unknown-port":
      return [
        `the fleet file of ${box}'s agent has no server on ${port}`,
        "Deploy the same fleet file on the box and at the edge.",
      ];
    case "too-soon":
      return [
        "it is being restarted, or was restarted less than 10 s ago",
        "`isha status` shows when it is ready.",
      ];
  }
}

export const endLevel = ({ outcome }: Pick<RestartEnd, "outcome">): FleetEvent["level"] =>
  outcome === "ready" ? "good" : outcome === "too-soon" ? "info" : "bad";
