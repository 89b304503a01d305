// Records for tests: the last requests exactly as they arrived and the last finished
// generations. Bounded, and readable only through the control port.

const KEPT = 100;

/** A request as it reached the server's own port. */
export interface Received {
  at: number;
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string;
}

export type Outcome = "complete" | "aborted" | "broken" | "error";

/** One request's generation, over all its choices. */
export interface Finished {
  id: string;
  route: string;
  slot: number;
  task: number;
  promptTokens: number;
  cachedTokens: number;
  /** Over all choices; what was really generated, however it was reported. */
  generatedTokens: number;
  choices: number;
  outcome: Outcome;
  /** Milliseconds from arrival to the slots being free again. */
  tookMs: number;
  headerNames: string[];
  receivedBody: string;
}

export class Ledger {
  requestsByRoute: Record<string, number> = {};
  received: Received[] = [];
  finished: Finished[] = [];

  receive(request: Received): void {
    const route = request.path.split("?", 1)[0] ?? "";
    this.requestsByRoute[route] = (this.requestsByRoute[route] ?? 0) + 1;
    const sameRoute = this.received.filter(({ path }) => path.split("?", 1)[0] === route);
    // Of each route: probes, of which there are many, don't displace calls.
    const oldest = sameRoute.length < KEPT ? undefined : sameRoute[0];
    this.received = [...this.received.filter((one) => one !== oldest), request];
  }

  finish(entry: Finished): void {
    this.finished = [...this.finished, entry].slice(-KEPT);
  }

  forget(): void {
    this.requestsByRoute = {};
    this.received = [];
    this.finished = [];
  }
}
