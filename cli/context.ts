// The process as a command sees it: main.ts passes the real one, a test passes its own.

import type { FleetConfig } from "../shared/fleet.ts";

export interface Output {
  write(text: string): void;
  /** Width of the terminal; null if the stream is not a terminal. */
  readonly columns: number | null;
  readonly colours: boolean;
}

export interface CommandContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeFolder: string;
  /** Base of relative paths. */
  readonly folder: string;
  /** The program's version. */
  readonly version: string;
  readonly now: () => number;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  readonly out: Output;
  readonly err: Output;
  /** The fleet file. @throws CommandFailure if it can't be read or is invalid */
  readonly fleet: () => Promise<FleetConfig>;
  /** The address of the deployment that the fleet file describes. */
  readonly defaultUrl: () => Promise<string>;
  /** Asks the operator at the terminal; null without a terminal. */
  readonly ask: ((question: string) => Promise<string>) | null;
  /** Passes a Worker secret to wrangler; resolves to its exit code, or null if wrangler could not be run. */
  readonly putSecret: (name: string, value: string) => Promise<number | null>;
}
