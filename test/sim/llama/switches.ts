// The fault switches of the simulated llama-server, as one strict schema: an unknown name is
// refused by name, so that a misspelt fault never passes silently. Documented in `test/sim/README.md`.
import { z } from "zod";

const count = z.int().min(0);
const atToken = count.nullable();

const FAULTS = [
  "garbage",
  "halfHeader",
  "hugeEvent",
  "invalidUtf8",
  "wrongContentType",
  "errorEvent200",
  "closeAtOnce",
  "neverAnswer",
  "echo500",
] as const;

const shape = {
  tokensPerSecond: z.number().min(0).default(30),
  promptTokensPerSecond: z.number().min(0).default(2_000),
  slowFactor: z.number().positive().default(1),
  seed: z.int().default(0),
  cachePrompt: z.boolean().nullable().default(null),
  loading: z.boolean().default(false),
  refuse: z.boolean().default(false),
  reset: z.boolean().default(false),
  stall: z.boolean().default(false),
  stallAfterTokens: atToken.default(null),
  stallAfterPromptTokens: atToken.default(null),
  hangHealth: z.boolean().default(false),
  busyAfterAbortMs: count.nullable().default(null),
  abortFreeMs: count.default(90),
  pickUpMs: count.default(2),
  lateBusyMs: count.default(17),
  holdPickUp: z.boolean().default(false),
  cutAfterTokens: atToken.default(null),
  dieAfterTokens: atToken.default(null),
  dieOnWord: z.string().min(1).nullable().default(null),
  ignoreSigterm: z.boolean().default(false),
  sigtermGraceMs: count.default(3_000),
  tokensPerEvent: z.array(count).min(1).default([1]),
  splitUtf8: z.boolean().default(false),
  holdSplit: z.boolean().default(false),
  keepAlive: z.boolean().default(true),
  keepAliveMs: count.default(5_000),
  staleKeepAlive: z.boolean().default(false),
  pingIntervalMs: count.nullable().default(null),
  fault: z.enum(FAULTS).nullable().default(null),
  hugeEventBytes: count.default(2_000_000),
  faultTimes: z.int().min(1).nullable().default(null),
  reasoning: z.boolean().default(false),
  tools: z.boolean().default(true),
  grammar: z.boolean().default(true),
};

const complete = z.strictObject(shape);

export type Switches = z.infer<typeof complete>;
export type Fault = (typeof FAULTS)[number];
export type SwitchName = keyof Switches;

/** A change that could not be taken, in words that name the switch. */
export class SwitchError extends Error {}

/** Holds the switches of one process and notifies its parts when they change. */
export class SwitchBoard {
  current: Switches;
  readonly #listeners: ((now: Switches) => void)[] = [];

  constructor(initial: unknown = {}) {
    this.current = parse({ ...complete.parse({}), ...record(initial) });
  }

  merge(change: unknown): void {
    this.current = parse({ ...this.current, ...record(change) });
    for (const listener of this.#listeners) listener(this.current);
  }

  onChange(listener: (now: Switches) => void): void {
    this.#listeners.push(listener);
  }

  /**
   * Says whether a fault that is switched on applies to this request, and uses up one of its `faultTimes`;
   * with the last of them `name` goes back to null.
   */
  spend(name: "fault" | "cutAfterTokens" | "stallAfterTokens" | "dieAfterTokens"): void {
    const { faultTimes } = this.current;
    if (faultTimes === null) return;
    this.merge(faultTimes > 1 ? { faultTimes: faultTimes - 1 } : { [name]: null, faultTimes: null });
  }
}

/** Every switch and its value when nothing is said. */
export const switchDefaults = (): Switches => complete.parse({});

function record(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new SwitchError("the switches are one JSON object");
  }
  return value as Record<string, unknown>;
}

function parse(value: unknown): Switches {
  const result = complete.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  if (issue?.code === "unrecognized_keys")
    throw new SwitchError(`unknown switch "${issue.keys.join('", "')}"`);
  throw new SwitchError(`switch "${issue?.path.join(".") ?? ""}": ${issue?.message ?? "not valid"}`);
}
