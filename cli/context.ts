// The process as a command sees it: main.ts passes the real one, a test passes its own.

import type { FleetConfig } from "../shared/fleet.ts";

export interface Output {
  write(text: string): void;
  /** Width of the terminal; null if the stream is not a terminal. */
  readonly columns: number | null;
  readonly colours: boolean;
}

export interface ExampleNames {
  readonly box: string;
  /** One of the box's servers, and its agent types, separated by commas. */
  readonly port: number;
  readonly agents: string;
}

/** The last server of the first box; other names if the fleet file can't be read. */
export function exampleNames(fleet: FleetConfig | null): ExampleNames {
  const box = fleet?.boxes[0];
  const server = box?.servers.findLast(({ agents }) => agents.length > 0);
  return {
    box: box?.name ?? "box1",
    port: server?.port ?? 9001,
    agents: server?.agents.join(",") ?? "Intake,Radiology",
  };
}

export interface CommandContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeFolder: string;
  /** Base of relative paths. */
  readonly folder: string;
  /** The program's version. */
  readonly version: string;
  /** Names in the examples of the help: the fleet file's, so that the examples work as printed. */
  readonly example: ExampleNames;
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
