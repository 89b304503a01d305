// A key's properties as options of `keys create` and `keys change`, and the request body they make.
import { Option, type Command } from "commander";
import type * as z from "zod/mini";
import { FALLBACK_POLICIES, PRIORITIES } from "../../shared/fleet.ts";
import { SCOPES } from "../../shared/principal.ts";
import { usageFailure } from "../failure.ts";
import {
  optionValue,
  parseCount,
  parseLimit,
  parseTimeOrNone,
  parseNames,
  parseNamesOrAll,
} from "./values.ts";

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

/** The option for each path in the body: messages name the option. */
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
    .option("--scopes <names>", `its permissions: ${SCOPES.join(", ")}`, optionValue(parseNames))
    .option("--agents <names>", "the agent types it may use, or all", optionValue(parseNamesOrAll))
    .option("--per-second <n>", "maximum requests per second", optionValue(parseCount))
    .option("--concurrent <n>", "maximum concurrent calls, or none", optionValue(parseLimit))
    .option(
      "--tokens-per-month <n>",
      "maximum tokens in a calendar month (UTC), or none",
      optionValue(parseLimit),
    )
    .addOption(new Option("--priority <level>", "its priority when calls wait").choices(PRIORITIES))
    .addOption(
      new Option("--fallback <policy>", "whether another model may answer when its own is down").choices(
        FALLBACK_POLICIES,
      ),
    )
    .option("--address-exempt", "don't limit it by client address: for a backend that serves many users")
    .option(
      "--expires <day>",
      "when it expires: 2027-01-31 (its start, UTC), a time, or none",
      optionValue(parseTimeOrNone),
    );
}

/**
 * The request body: only what was typed; the service's defaults apply to the rest.
 * @throws CommandFailure that names the option that the service would refuse.
 */
export function keyBody(options: KeyFieldOptions, schema: z.ZodMiniType): object {
  const { agents, perSecond, concurrent, tokensPerMonth, expires } = options;
  const limits = definedOnly({
    perSecond,
    concurrent: orNull(concurrent, "none"),
    tokensPerMonth: orNull(tokensPerMonth, "none"),
  });
  const body = definedOnly({
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
    throw usageFailure("No change was given.", "isha keys change --help lists the options.");
  }
  const parsed = schema.safeParse(body);
  if (parsed.success) return body;
  const [issue] = parsed.error.issues;
  const path = issue?.path.filter((part) => typeof part === "string").join(".") ?? "";
  throw usageFailure(`${FLAGS[path] ?? "The key"}: ${issue?.message ?? "is invalid"}.`);
}

/** A keyword on the command line stands for the API's null. */
const orNull = <T, K extends string>(value: T | K | undefined, keyword: K): T | null | undefined =>
  value === keyword ? null : (value as T | undefined);

function definedOnly(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
