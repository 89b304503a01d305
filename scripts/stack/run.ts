// Describes one stack: what it may be started with, what its caller gets, and what its parts share.
import type { FleetConfig } from "../../shared/fleet.ts";
import type { Pace } from "./commands.ts";
import type { PortRequest } from "./ports.ts";
import type { ProgramSet, UnexpectedExit } from "./program-set.ts";

/** Far beyond what a start takes on a starved machine: only a hang reaches it. */
export const READY_MS = 120_000;

/** The edge's name among the stack's programs. */
export const EDGE = "edge";

export interface StackOptions {
  /** The project's own if not given. */
  fleetFile?: string;
  /** If not given, the one that wrangler.toml names, or for another fleet file one made from it. */
  workerEntry?: string;
  /** False: none is started. */
  edge?: boolean;
  /** False: none is started. */
  agents?: boolean;
  /** A free one if not given. */
  edgePort?: PortRequest;
  /** Of the first box; a free one if not given. */
  agentPort?: PortRequest;
  /** Use llama-servers that answer on the fleet's ports. */
  real?: boolean;
  /** False: the edge doesn't know them. */
  devKeys?: boolean;
  /** For every simulated server. */
  simulator?: Pace;
  /** On top of it, by port or `box:port`. */
  perServer?: Record<string, Pace>;
  boxSecret?: string;
  llamaApiKey?: string | undefined;
  /** Further variables of the Worker. */
  vars?: Record<string, string>;
  /** Where the edge finds boxes, other than their agents here. */
  boxOrigins?: Record<string, string>;
  /** Further environment of every agent. */
  agentEnv?: Record<string, string> | ((box: string) => Record<string, string>);
  onProgress?: (line: string) => void;
  /** Everything the programs say. */
  onLine?: ((name: string, line: string) => void) | undefined;
  /** A program exited unexpectedly. */
  onExit?: (exit: UnexpectedExit) => void;
  /** Gives up and ends everything. */
  signal?: AbortSignal;
}

export interface ServerHandle {
  port: number;
  url: string;
  controlUrl: string | null;
  pid: number | null;
  simulated: boolean;
  model: string;
}

export interface BoxHandle {
  name: string;
  agentUrl: string;
  agentPid: number;
  servers: ServerHandle[];
}

export interface Stack {
  fleet: FleetConfig;
  /** Empty without an edge. */
  edgeUrl: string;
  boxSecret: string;
  llamaApiKey: string;
  boxes: BoxHandle[];
  /** Last lines of `edge`, `agent <box>` or `server <box>:<port>`. */
  logs: (name: string) => string[];
  /** By port or `box:port`. */
  killServer: (port: number | string, signal?: NodeJS.Signals) => Promise<void>;
  /** Restarts a killed one on its port. @param pace on top of its own */
  startServer: (port: number | string, pace?: Pace) => Promise<void>;
  /** On the same port. */
  restartAgent: (box: string, options?: { graceMs?: number }) => Promise<void>;
  /** As by kill -9. */
  killAgent: (box: string) => Promise<void>;
  /** Restarts a killed one on its port. */
  startAgent: (box: string) => Promise<void>;
  /** As by kill -9. */
  stopEdge: () => Promise<void>;
  /** Restarts the stopped one on its port, with its stored state. */
  startEdge: () => Promise<void>;
  stop: () => Promise<void>;
}

/** What the parts of one stack share. `edgePort`: 0 if there is none */
export interface Run {
  options: StackOptions;
  fleet: FleetConfig;
  fleetFile: string;
  folder: string;
  programs: ProgramSet;
  boxSecret: string;
  llamaApiKey: string;
  boxes: BoxHandle[];
  edgePort: number;
}
