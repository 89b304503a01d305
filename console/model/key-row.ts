// A key as the list shows it, with what it used of its month.
import type { KeyView } from "../../shared/keys.ts";
import type { UsageReport } from "../../shared/usage-report.ts";
import { dayAndTime, dayWords } from "./duration.ts";
import { share, tokens } from "./figure.ts";
import type { StateText } from "./server-state.ts";

export interface KeyRow {
  readonly key: KeyView;
  readonly state: StateText;
  /** "84.2 k of 1.0 M tokens" or "84.2 k tokens". */
  readonly use: string;
  readonly calls: number;
  /** Of its month, 0 to 1; null where it has no such limit. */
  readonly useShare: number | null;
  readonly limits: string;
  readonly may: string;
  /** Whether there is anything to do with it still. */
  readonly live: boolean;
}

const KEY_WORDS: Readonly<Record<KeyView["state"], StateText>> = {
  active: { level: "good", word: "active", meaning: "" },
  legacy: { level: "warn", word: "legacy", meaning: "the fleet file isFresh for it" },
  expired: { level: "quiet", word: "expired", meaning: "" },
  revoked: { level: "quiet", word: "revoked", meaning: "" },
};

export function keyRow(key: KeyView, month: UsageReport | null): KeyRow {
  const row = month?.rows.find(({ group }) => group === key.id);
  const used = (row?.promptTokens ?? 0) + (row?.completionTokens ?? 0);
  const most = key.limits.tokensPerMonth;
  return {
    key,
    state: { ...KEY_WORDS[key.state], meaning: stateNote(key) },
    use:
      month === null
        ? ""
        : most === null
          ? `${tokens(used)} tokens`
          : `${tokens(used)} of ${tokens(most)} tokens`,
    calls: row?.calls ?? 0,
    useShare: month === null || most === null ? null : share(used, most),
    limits: [
      `${key.limits.perSecond.toLocaleString("en-GB")} a second`,
      ...(key.limits.concurrent === null ? [] : [`${key.limits.concurrent} at once`]),
      ...(key.priority === "normal" ? [] : [`${key.priority} priority`]),
    ].join(", "),
    may: `${key.scopes.join(" and ")}${key.agents === null ? "" : `: ${key.agents.join(", ")} only`}`,
    live: key.state === "active" || key.state === "expired",
  };
}

function stateNote(key: KeyView): string {
  if (key.state === "revoked")
    return key.revokedAt === null ? "" : `on ${dayWords(Date.parse(key.revokedAt))}`;
  if (key.oldSecretUntil !== null)
    return `its old secret works until ${dayAndTime(Date.parse(key.oldSecretUntil))}`;
  if (key.expiresAt !== null) {
    const word = key.state === "expired" ? "on" : "until";
    return `${word} ${dayWords(Date.parse(key.expiresAt))}`;
  }
  return KEY_WORDS[key.state].meaning;
}

/** Where the month of the token limits began, UTC, as the API takes it. */
export function monthStart(now: number): string {
  const date = new Date(now);
  return new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1)).toISOString();
}
