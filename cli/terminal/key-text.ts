// A key as it is shown on a terminal. Pure.
import type { KeyView } from "../../shared/keys.ts";
import { agoText, countText, dayText, momentText } from "./figures.ts";
import type { Column } from "./table.ts";

export const KEY_COLUMNS: readonly Column[] = [
  { title: "ID" },
  { title: "NAME", cut: true },
  { title: "STATE" },
  { title: "SCOPES", cut: true, spare: true },
  { title: "AGENT TYPES", cut: true },
  { title: "PER SECOND", right: true, spare: true },
  { title: "AT ONCE", right: true },
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

/** Names and values, for `fieldsText`; null is not worth a line. */
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
    ["requests a second", countText(perSecond)],
    ["calls at once", concurrent === null ? "no limit of its own" : countText(concurrent)],
    ["tokens a month", tokensPerMonth === null ? "no limit" : countText(tokensPerMonth)],
    ["priority", key.priority],
    ["fallback", key.fallback],
    ["counted by address", key.addressExempt ? "no" : "yes"],
    ["expires", at(key.expiresAt) ?? "never"],
    ["created", at(key.createdAt)],
    ["revoked", at(key.revokedAt)],
    ["old secret until", at(key.oldSecretUntil)],
  ];
}
