// What the boxes last said, kept by an isolate: asked of the fleet object in the background, hardly ever waited for.
// Without an answer calls go by the fleet file: losing the link, or the object, never stops inference.
import { speakerOf, type BoxReport, type Speaking } from "../../shared/box-report.ts";
import { withTimeout } from "../http/timeout.ts";
import { UNKNOWN_FLEET, type BoxState, type FleetSnapshot, type ServerState } from "./snapshot.ts";

/** Words this young are used as they are, and a call may be refused on them, milliseconds. */
const FRESH_MS = 2_000;

/** Up to this age they are used while new ones are asked for in the background, milliseconds. */
const USABLE_MS = 10_000;

/** Where they are older, a call waits this long for new ones, milliseconds. */
const WAIT_MS = 100;

/** A question that wasn't answered by now was cut off with the request it belonged to, milliseconds. */
const LOST_MS = 5_000;

export interface Asking {
  /** Asks the fleet object. */
  readonly boxes: () => Promise<readonly BoxReport[]>;
  readonly waitUntil: (work: Promise<unknown>) => void;
}

/** After a question that failed the next one waits this long, milliseconds: an object that is gone costs no call its 100 ms. */
const RETRY_MS = 1_000;

export class SnapshotCache {
  readonly #clock: () => number;
  #toldAt = -Infinity;
  #askNotBefore = -Infinity;
  #live: Live = { boxes: new Map(), fresh: true };

  /** @param clock milliseconds since 1970, as the isolate sees it. */
  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** What a decision may lean on now. Waits only where nothing young enough is at hand. */
  read(asking: Asking): FleetSnapshot | Promise<FleetSnapshot> {
    const now = this.#clock();
    const age = now - this.#toldAt;
    if (age >= 0 && age <= FRESH_MS) return this.#live;
    const mayAsk = now >= this.#askNotBefore || now < this.#askNotBefore - LOST_MS;
    const usable = age >= 0 && age <= USABLE_MS;
    if (usable && mayAsk) asking.waitUntil(this.#ask(asking, now));
    if (usable) return { ...this.#live, fresh: false };
    return mayAsk ? this.#waited(asking, now) : UNKNOWN_FLEET;
  }

  /** Counts a call that is sent to a server, so that the next one sees it a little fuller. */
  sent(box: string, port: number): void {
    const server = this.#live.boxes.get(box)?.servers.get(port);
    if (server !== undefined) server.sent += 1;
  }

  async #waited(asking: Asking, now: number): Promise<FleetSnapshot> {
    const question = this.#ask(asking, now);
    // It goes on where the call doesn't wait any longer.
    asking.waitUntil(question);
    // Not the question of another request: the platform lets nobody wait for that.
    const answered = await withTimeout(question, WAIT_MS);
    return answered === true ? this.#live : UNKNOWN_FLEET;
  }

  /** Never rejects: without an answer the words at hand grow older. */
  async #ask(asking: Asking, now: number): Promise<boolean> {
    this.#askNotBefore = now + LOST_MS;
    try {
      const reports = await asking.boxes();
      this.#live = fleetSnapshot(reports);
      this.#toldAt = this.#clock();
      this.#askNotBefore = -Infinity;
      return true;
    } catch {
      this.#askNotBefore = this.#clock() + RETRY_MS;
      return false;
    }
  }
}

/** Its servers' counts of what was sent grow in place: a new copy of the fleet at every call would cost more than the call's decision. */
interface Live extends FleetSnapshot {
  readonly boxes: ReadonlyMap<string, CountedBox>;
}
interface CountedBox extends BoxState {
  readonly servers: ReadonlyMap<number, Counted>;
}
interface Counted extends Omit<ServerState, "sent"> {
  sent: number;
}

/** Reports in the words of a decision. */
export function fleetSnapshot(reports: readonly BoxReport[]): Live {
  const boxes = reports.flatMap((report) => {
    const box = liveBox(report);
    return box === null ? [] : [[report.box, box] as const];
  });
  return { boxes: new Map(boxes), fresh: true };
}

/** Null where a box is silent, or linked a moment ago: nothing is known of it. */
function liveBox(report: BoxReport): CountedBox | null {
  const { held = false } = report;
  const speaker = speakerOf(report);
  // What an operator wants of a box is known of a silent one too, and before its agent has heard of it.
  if (speaker === null) return held ? { draining: true, servers: new Map() } : null;
  return { draining: held || !speaker.takesCalls, servers: new Map(liveServers(speaker)) };
}

function liveServers({ agent, snapshot }: Speaking): [number, Counted][] {
  return snapshot.servers
    .filter(({ port }) => agent.ports.includes(port))
    .map((server) => [
      server.port,
      {
        state: server.state,
        free: Math.max(0, server.slots - server.busy),
        places: Math.max(0, server.places - server.waiting),
        sent: 0,
        waitMs: server.waitMs,
      },
    ]);
}
