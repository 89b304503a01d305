// Why a command ends without having done what it was asked to: what is printed of it, and the exit code.

/** Exit codes, the same for every command: scripts go by them. */
export const EXIT = {
  done: 0,
  /** The service refused or failed, or the machine here did. */
  failed: 1,
  /** The command was typed wrong, or lacks something it needs. */
  usage: 2,
  /** The service couldn't be reached, or didn't answer in time. */
  unreachable: 3,
  /** Ctrl-C, as a shell says it: 128 + SIGINT. */
  interrupted: 130,
} as const;

interface FailureDetail {
  /** What to do about it. */
  readonly advice?: string | undefined;
  /** Names the refused request to whoever looks after the service. */
  readonly requestId?: string | null | undefined;
  /** The service's own code and the status it came with, where it gave one. */
  readonly code?: string | undefined;
  readonly status?: number | undefined;
}

/** On its way to the one place that prints it (isha.ts). */
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

/** As it is shown on stderr. */
export function failureText({ message, detail }: CommandFailure): string {
  const { code, status } = detail;
  const lines = [`isha: ${message}${code === undefined ? "" : ` (${status} ${code})`}`];
  if (detail.advice !== undefined) lines.push(detail.advice);
  if (detail.requestId != null) lines.push(`Request id: ${detail.requestId}`);
  return `${lines.join("\n")}\n`;
}
