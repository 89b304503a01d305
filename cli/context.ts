// What a command sees of the process it runs in. main.ts makes it from the real one, a test from what it likes.

export interface Output {
  write(text: string): void;
  /** Width of the terminal; null where it is none. */
  readonly columns: number | null;
  readonly colours: boolean;
}

export interface CommandContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeFolder: string;
  /** Where relative paths start. */
  readonly folder: string;
  /** The program's version. */
  readonly version: string;
  readonly now: () => number;
  /** Ctrl-C. */
  readonly signal: AbortSignal;
  readonly out: Output;
  readonly err: Output;
  /** The address of the deployment that the fleet file describes. */
  readonly defaultUrl: () => Promise<string>;
  /** Asks the person at the terminal; null where nobody sits there. */
  readonly ask: ((question: string) => Promise<string>) | null;
  /** Hands a Worker's secret to wrangler; resolves to its exit code, null where it couldn't run. */
  readonly putSecret: (name: string, value: string) => Promise<number | null>;
}
