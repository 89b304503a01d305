// Formats a key for a terminal: a table row, or a list of fields. Pure.
import type { KeyView } from "../../shared/keys.ts";
import { agoText, countText, dayText, momentText } from "./format.ts";
import type { Column } from "./table.ts";

export const KEY_COLUMNS: readonly Column[] = [
  { title: "ID" },
  { title: "NAME", cut: true },
  { title: "STATE" },
  { title: "SCOPES", cut: true, spare: true },
  { title: "AGENT TYPES", cut: true },
  { title: "PER SECOND", right: true, spare: true },
  { title: "CONCURRENT", right: true },
  { title: "TOKENS/MONTH", right: true },
  { title: "EXPIRES" },
];

const NONE = "–";

export function keyRow(key: KeyView): string[] {
  const { perSecond, concurrent, tokensPerMonth } = key.limits;
  return [
    key.id,
    key.name,
    key.state,
    key.scopes.join(", "),
    key.agents?.join(", ") ?? "all",
    countText(perSecond),
    concurrent === null ? NONE : countText(concurrent),
    tokensPerMonth === null ? NONE : countText(tokensPerMonth),
    key.expiresAt === null ? NONE : dayText(key.expiresAt),
  ];
}

/** Names and values for `fieldsText`; a null value is left out. */
export function keyFields(key: KeyView, now: number): (readonly [string, string | null])[] {
  const { perSecond, concurrent, tokensPerMonth } = key.limits;
  const at = (moment: string | null): string | null =>
    moment === null ? null : `${momentText(moment)} (${agoText(Date.parse(moment), now)})`;
  return [
    ["id", key.id],
    ["name", key.name],
    ["state", key.state],
    ["scopes", key.scopes.join(", ")],
    ["agent types", key.agents?.join(", ") ?? "all"],
    ["requests per second", countText(perSecond)],
    ["concurrent calls", concurrent === null ? "no limit of its own" : countText(concurrent)],
    ["tokens per month", tokensPerMonth === null ? "no limit" : countText(tokensPerMonth)],
    ["priority", key.priority],
    ["fallback", key.fallback],
    ["limited by address", key.addressExempt ? "no" : "yes"],
    ["expires", at(key.expiresAt) ?? "never"],
    ["created", at(key.createdAt)],
    ["revoked", at(key.revokedAt)],
    ["old secret until", at(key.oldSecretUntil)],
  ];
}
