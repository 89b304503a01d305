// A key's properties as options: one table for creating and changing, from what is typed to the API's body.
import { Option, type Command } from "commander";
import type * as z from "zod";
import { FALLBACK_POLICIES, PRIORITIES } from "../../shared/fleet.ts";
import { SCOPES } from "../../shared/principal.ts";
import { usageFailure } from "../failure.ts";
import {
  optionValue,
  readCount,
  readLimit,
  readMomentOrNone,
  readNames,
  readNamesOrAll,
} from "./option-values.ts";

export interface KeyFieldOptions {
  readonly name?: string;
  readonly scopes?: readonly string[];
  readonly agents?: readonly string[] | "all";
  readonly perSecond?: number;
  readonly concurrent?: number | "none";
  readonly tokensPerMonth?: number | "none";
  readonly priority?: string;
  readonly fallback?: string;
  readonly addressExempt?: boolean;
  /** Milliseconds since 1970. */
  readonly expires?: number | "none";
}

/** Where in a body an option's value stands, for messages in the operator's words. */
const FLAGS: Readonly<Record<string, string>> = {
  name: "--name",
  scopes: "--scopes",
  agents: "--agents",
  "limits.perSecond": "--per-second",
  "limits.concurrent": "--concurrent",
  "limits.tokensPerMonth": "--tokens-per-month",
  priority: "--priority",
  fallback: "--fallback",
  addressExempt: "--address-exempt",
  expiresAt: "--expires",
};

export function addKeyOptions(command: Command): Command {
  return command
    .option("--scopes <names>", `what it may: ${SCOPES.join(", ")}`, optionValue(readNames))
    .option("--agents <names>", "the agent types it may use, or all", optionValue(readNamesOrAll))
    .option("--per-second <n>", "most requests a second", optionValue(readCount))
    .option("--concurrent <n>", "most calls at once, or none", optionValue(readLimit))
    .option(
      "--tokens-per-month <n>",
      "most tokens in a calendar month (UTC), or none",
      optionValue(readLimit),
    )
    .addOption(new Option("--priority <level>", "its turn where calls wait").choices(PRIORITIES))
    .addOption(
      new Option("--fallback <policy>", "may another model answer where its own is down").choices(
        FALLBACK_POLICIES,
      ),
    )
    .option("--address-exempt", "not counted against its address: one backend that speaks for many users")
    .option(
      "--expires <day>",
      "when it stops: 2027-01-31 (its beginning, UTC), a moment, or none",
      optionValue(readMomentOrNone),
    );
}

/**
 * The API's body: only what was typed, so that the service's own defaults stand for the rest.
 * @throws CommandFailure that names the option which the service would refuse.
 */
export function keyBody(options: KeyFieldOptions, schema: z.ZodType): object {
  const { agents, perSecond, concurrent, tokensPerMonth, expires } = options;
  const limits = given({
    perSecond,
    concurrent: orNull(concurrent, "none"),
    tokensPerMonth: orNull(tokensPerMonth, "none"),
  });
  const body = given({
    name: options.name,
    scopes: options.scopes,
    agents: orNull(agents, "all"),
    limits: Object.keys(limits).length === 0 ? undefined : limits,
    priority: options.priority,
    fallback: options.fallback,
    addressExempt: options.addressExempt,
    expiresAt: typeof expires === "number" ? new Date(expires).toISOString() : orNull(expires, "none"),
  });
  if (Object.keys(body).length === 0) {
    throw usageFailure("Nothing to change was named.", "isha keys change --help lists what there is.");
  }
  const parsed = schema.safeParse(body);
  if (parsed.success) return body;
  const [issue] = parsed.error.issues;
  const path = issue?.path.filter((part) => typeof part === "string").join(".") ?? "";
  throw usageFailure(`${FLAGS[path] ?? "The key"}: ${issue?.message ?? "is not right"}.`);
}

/** What the API calls null has a word on the command line. */
const orNull = <T, W extends string>(value: T | W | undefined, word: W): T | null | undefined =>
  value === word ? null : (value as T | undefined);

function given(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
