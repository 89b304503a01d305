// Usage records of calls, and their sums in a ledger.
import { env } from "cloudflare:workers";
import { DAY_MS } from "../../../shared/calendar.ts";
import type { UsageCall } from "../../../shared/usage.ts";
import type { UsageGroup, UsageReport, UsageSplit, UsageSums } from "../../../shared/usage-report.ts";
import type { Ledger } from "../../../worker/usage/ledger-object.ts";

export type LedgerStub = DurableObjectStub<Ledger>;

/** A ledger for one test only. */
export function newLedger(): LedgerStub {
  return env.LEDGER.getByName(`test-${crypto.randomUUID()}`);
}

export function call(seq: number, more: Partial<UsageCall> = {}): UsageCall {
  return {
    seq,
    callId: `call-${seq}`,
    keyId: "key-a",
    agentType: "Alpha",
    model: "Model-1",
    port: 9000,
    startedAt: Date.now(),
    outcome: "complete",
    promptTokens: 10,
    cachedTokens: 4,
    completionTokens: 5,
    choices: 1,
    estimated: false,
    durationMs: 100,
    ...more,
  };
}

export async function report(
  ledger: LedgerStub,
  by: UsageGroup,
  more: {
    readonly from?: number;
    readonly to?: number;
    readonly key?: string;
    readonly split?: UsageSplit;
  } = {},
): Promise<UsageReport> {
  const { from = Date.now() - 2 * DAY_MS, to = Date.now() + 2 * DAY_MS, key = null, split } = more;
  return ledger.usage({ from, to, by, key, ...(split === undefined ? {} : { split }) });
}

/** The rows of a report by group. */
export async function sumsBy(
  ledger: LedgerStub,
  by: UsageGroup,
  more: { readonly from?: number; readonly to?: number; readonly key?: string } = {},
): Promise<Record<string, UsageSums>> {
  const { rows } = await report(ledger, by, more);
  return Object.fromEntries(rows.map(({ group, ...sums }) => [group, sums]));
}
