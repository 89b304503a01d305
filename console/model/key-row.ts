// A key's row in the list, with its usage of the current month.
import type { KeyView } from "../../shared/keys.ts";
import type { UsageReport } from "../../shared/usage-report.ts";
import { dateTimeText, dateText } from "./duration.ts";
import { share, tokens } from "./format.ts";
import type { StateText } from "./server-state.ts";

export interface KeyRow {
  readonly key: KeyView;
  readonly state: StateText;
  /** "84.2 k of 1.0 M tokens" or "84.2 k tokens". */
  readonly usage: string;
  readonly calls: number;
  /** Share of its monthly limit, 0 to 1; null without a limit. */
  readonly usageShare: number | null;
  readonly limits: string;
  readonly permissions: string;
  /** Whether it can still be changed. */
  readonly live: boolean;
}

const KEY_STATE_TEXT: Readonly<Record<KeyView["state"], StateText>> = {
  active: { level: "good", label: "active", meaning: "" },
  legacy: { level: "warn", label: "legacy", meaning: "listed in the fleet file" },
  expired: { level: "quiet", label: "expired", meaning: "" },
  revoked: { level: "quiet", label: "revoked", meaning: "" },
};

export function keyRow(key: KeyView, month: UsageReport | null): KeyRow {
  const row = month?.rows.find(({ group }) => group === key.id);
  const used = (row?.promptTokens ?? 0) + (row?.completionTokens ?? 0);
  const limit = key.limits.tokensPerMonth;
  return {
    key,
    state: { ...KEY_STATE_TEXT[key.state], meaning: stateNote(key) },
    usage:
      month === null
        ? ""
        : limit === null
          ? `${tokens(used)} tokens`
          : `${tokens(used)} of ${tokens(limit)} tokens`,
    calls: row?.calls ?? 0,
    usageShare: month === null || limit === null ? null : share(used, limit),
    limits: [
      `${key.limits.perSecond.toLocaleString("en-GB")} per second`,
      ...(key.limits.concurrent === null ? [] : [`${key.limits.concurrent} concurrent`]),
      ...(key.priority === "normal" ? [] : [`${key.priority} priority`]),
    ].join(", "),
    permissions: `${key.scopes.join(" and ")}${key.agents === null ? "" : `: ${key.agents.join(", ")} only`}`,
    live: key.state === "active" || key.state === "expired",
  };
}

function stateNote(key: KeyView): string {
  if (key.state === "revoked")
    return key.revokedAt === null ? "" : `on ${dateText(Date.parse(key.revokedAt))}`;
  if (key.oldSecretUntil !== null)
    return `its old secret is valid until ${dateTimeText(Date.parse(key.oldSecretUntil))}`;
  if (key.expiresAt !== null) {
    const preposition = key.state === "expired" ? "on" : "until";
    return `${preposition} ${dateText(Date.parse(key.expiresAt))}`;
  }
  return KEY_STATE_TEXT[key.state].meaning;
}
