// A command's failure: what it prints and its exit code.

/** Exit codes, the same for every command: scripts depend on them. */
export const EXIT = {
  done: 0,
  /** The service refused or failed, or this machine did. */
  failed: 1,
  /** The command line is wrong, or something the command needs is missing. */
  usage: 2,
  /** The service could not be reached, or did not answer in time. */
  unreachable: 3,
  /** Ctrl-C, as shells report it: 128 + SIGINT. */
  interrupted: 130,
} as const;

interface FailureDetail {
  /** What the operator can do. */
  readonly advice?: string | undefined;
  /** Identifies the refused request to the service operator. */
  readonly requestId?: string | null | undefined;
  /** The error code of the service and its HTTP status, if it sent them. */
  readonly code?: string | undefined;
  readonly status?: number | undefined;
}

/** Thrown by a command; isha.ts is the one place that prints it. */
export class CommandFailure extends Error {
  readonly exitCode: number;
  readonly detail: FailureDetail;

  constructor(exitCode: number, message: string, detail: FailureDetail = {}) {
    super(message);
    this.name = "CommandFailure";
    this.exitCode = exitCode;
    this.detail = detail;
  }
}

export const usageFailure = (message: string, advice?: string): CommandFailure =>
  new CommandFailure(EXIT.usage, message, { advice });

/** To be called before a command changes anything. @throws CommandFailure after Ctrl-C */
export function stopIfInterrupted(signal: AbortSignal): void {
  if (signal.aborted) throw new CommandFailure(EXIT.interrupted, "Interrupted; nothing was done.");
}

/** The text for stderr. */
export function failureText({ message, detail }: CommandFailure): string {
  const { code, status } = detail;
  const lines = [`isha: ${message}${code === undefined ? "" : ` (${status} ${code})`}`];
  if (detail.advice !== undefined) lines.push(detail.advice);
  if (detail.requestId != null) lines.push(`Request id: ${detail.requestId}`);
  return `${lines.join("\n")}\n`;
}
