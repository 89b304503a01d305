// Defines a check of `isha doctor` and runs all of them at once, each with its own deadline. A check that throws or takes
// too long reports "unknown"; it never stops the others.
import type { Box, FleetConfig } from "../../shared/fleet.ts";
import { CommandFailure } from "../failure.ts";
import type { Machine } from "./machine.ts";

/**
 * `fine`; `wrong`, with the command that fixes it; `unknown`: it could not be checked, with what that needs; `noted`: it
 * needs no fix now, but the operator should know; `skipped`: it doesn't apply here.
 */
export type Verdict = "fine" | "wrong" | "unknown" | "noted" | "skipped";

export interface Outcome {
  readonly verdict: Verdict;
  readonly text: string;
  /** What fixes it, or lets it be checked. */
  readonly fix?: string;
}

export const fine = (text: string): Outcome => ({ verdict: "fine", text });
export const wrong = (text: string, fix: string): Outcome => ({ verdict: "wrong", text, fix });
export const unknown = (text: string, fix: string): Outcome => ({ verdict: "unknown", text, fix });
export const noted = (text: string, fix: string): Outcome => ({ verdict: "noted", text, fix });
export const skipped = (text: string): Outcome => ({ verdict: "skipped", text });

export interface Surroundings {
  /** The command that runs the checks, for advice: `isha doctor`. */
  readonly command: string;
  readonly fleet: FleetConfig;
  /** The service's address. */
  readonly url: string;
  /** The admin key; null if the operator has none here. */
  readonly adminKey: string | null;
  /** The box that this machine is; null on any other machine. */
  readonly box: Box | null;
  /** The agent's address on this machine. */
  readonly agentUrl: string;
  /** Folder of `agent.env` and the other secrets. */
  readonly secretFolder: string;
  readonly pm2Home: string;
  readonly machine: Machine;
}

export interface Check {
  /** In kebab-case: scripts select by it. */
  readonly name: string;
  readonly run: (around: Surroundings, signal: AbortSignal) => Promise<Outcome>;
}

export interface Result extends Outcome {
  readonly check: string;
}

/** The slowest check sends a call to a model. */
export const CHECK_DEADLINE_MS = 30_000;

export function runChecks(
  checks: readonly Check[],
  around: Surroundings,
  interrupted: AbortSignal,
  deadlineMs = CHECK_DEADLINE_MS,
): Promise<Result[]> {
  return Promise.all(
    checks.map(async ({ name, run }) => ({
      check: name,
      ...(await runOne(run, around, interrupted, deadlineMs)),
    })),
  );
}

async function runOne(
  run: Check["run"],
  around: Surroundings,
  interrupted: AbortSignal,
  deadlineMs: number,
): Promise<Outcome> {
  const deadline = AbortSignal.timeout(deadlineMs);
  const signal = AbortSignal.any([deadline, interrupted]);
  const stopped = (): Outcome => {
    const text = interrupted.aborted ? "interrupted" : `no result within ${deadlineMs / 1000} s`;
    return unknown(text, `Run it again: ${around.command}`);
  };
  if (signal.aborted) return stopped();
  const late = new Promise<Outcome>((resolve) => {
    signal.addEventListener("abort", () => resolve(stopped()));
  });
  return Promise.race([late, outcome(run, around, signal)]);
}

async function outcome(run: Check["run"], around: Surroundings, signal: AbortSignal): Promise<Outcome> {
  try {
    return await run(around, signal);
  } catch (error) {
    return outcomeOf(error, around.command);
  }
}

function outcomeOf(error: unknown, command: string): Outcome {
  if (error instanceof CommandFailure)
    return unknown(error.message, error.detail.advice ?? `Run it again: ${command}`);
  // fetch's own failure: its cause has the system's code.
  if (error instanceof TypeError && error.cause !== undefined) {
    return unknown("the service can't be reached from here", "See the check edge.");
  }
  const name = error instanceof Error ? error.name : "error";
  return unknown(
    `the check failed (${name})`,
    `Run it again: ${command}; if it stays, report it with isha --version.`,
  );
}
