// Describes an operator's action in plain words: what was done, to what, and which fields changed.
import { isFirstKeyId, type AuditEntry, type AuditValue } from "../../shared/keys.ts";
import { durationText, measuredText } from "../../shared/duration.ts";
import { dateText } from "./duration.ts";
import { figure } from "./format.ts";

export interface AuditRow {
  /** The sentence without its subject: "changed the key". */
  readonly action: string;
  /** The name of what it was done to; empty if the action says it. */
  readonly object: string;
  /** One line for each field: "tokens per month: 1,000 → no limit". */
  readonly details: readonly string[];
}

type Names = ReadonlyMap<string, string>;

/** @param names the keys' names by id. */
export function auditRow({ action, target, detail }: AuditEntry, names: Names): AuditRow {
  const { verb, object } = sentence(action, target, names);
  return { action: verb, object, details: detailsOf(action, detail) };
}

function sentence(
  action: AuditEntry["action"],
  target: string,
  names: Names,
): { readonly verb: string; readonly object: string } {
  const key = names.get(target) ?? target;
  switch (action) {
    case "key.create":
      return { verb: "made the key", object: key };
    case "key.change":
      return { verb: "changed the key", object: key };
    case "key.revoke":
      return { verb: "revoked the key", object: key };
    case "key.rotate":
      return { verb: "gave a new secret to the key", object: key };
    case "first-key.use":
      return { verb: "signed in for the first time with the first admin key", object: "" };
    case "box.drain":
      return { verb: "drained", object: target };
    case "box.resume":
      return { verb: "resumed", object: target };
    case "server.restart":
      return { verb: "requested a restart of", object: serverText(target) };
    case "alerts.test":
      return { verb: "sent a test alarm", object: "" };
    default:
      // An edge that is newer than this page may have further actions.
      return { verb: String(action), object: target };
  }
}

/** "box1:8085" as "8085 of box1". */
function serverText(target: string): string {
  const colon = target.lastIndexOf(":");
  return colon < 0 ? target : `${target.slice(colon + 1)} of ${target.slice(0, colon)}`;
}

/** The operator's name: a key's, or what its id stands for. */
export function actorText(id: string, names: Names): string {
  return names.get(id) ?? (isFirstKeyId(id) ? "the first admin key" : id);
}

const FIELDS: Readonly<Record<string, string>> = {
  name: "name",
  scopes: "scopes",
  agents: "agent types",
  priority: "priority",
  fallback: "fallback",
  addressExempt: "exempt from the address limit",
  expiresAt: "expires",
  "limits.perSecond": "requests per second",
  "limits.concurrent": "concurrent calls",
  "limits.tokensPerMonth": "tokens per month",
  graceSeconds: "the old secret stays valid for",
  outcome: "outcome",
  tookMs: "took",
};

/** What `null` means for a field. */
const ABSENT: Readonly<Record<string, string>> = {
  agents: "all",
  expiresAt: "never",
  "limits.concurrent": "no limit",
  "limits.tokensPerMonth": "no limit",
};

/** A new key's fields with these values are those of any plain key, and not worth a line. */
const PLAIN: Readonly<Record<string, AuditValue>> = {
  agents: null,
  priority: "normal",
  fallback: "auto",
  addressExempt: false,
  expiresAt: null,
  "limits.concurrent": null,
  "limits.tokensPerMonth": null,
};

function detailsOf(action: AuditEntry["action"], detail: AuditEntry["detail"]): string[] {
  return Object.entries(detail).flatMap(([field, value]) => {
    const label = Object.hasOwn(FIELDS, field) ? (FIELDS[field] ?? field) : field;
    if (isChange(value)) return [`${label}: ${valueText(field, value.from)} → ${valueText(field, value.to)}`];
    const isPlain = action === "key.create" && Object.hasOwn(PLAIN, field) && PLAIN[field] === value;
    return isPlain ? [] : [`${label}: ${valueText(field, value)}`];
  });
}

type Change = Extract<AuditEntry["detail"][string], { readonly from: AuditValue }>;

function isChange(value: AuditEntry["detail"][string]): value is Change {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function valueText(field: string, value: AuditValue): string {
  if (value === null) return Object.hasOwn(ABSENT, field) ? (ABSENT[field] ?? "none") : "none";
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(", ");
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (field === "graceSeconds") return durationText(Number(value) * 1000);
  if (field === "outcome") return String(value).replaceAll("-", " ");
  if (field === "tookMs") return measuredText(Number(value));
  if (field === "expiresAt") return dateText(Date.parse(String(value)));
  return typeof value === "number" ? figure(value) : value;
}

/** The path of a page of the audit. @param after the previous page's `next`; null for the first page */
export function auditPath(target: string, after: string | null): string {
  const query = new URLSearchParams({
    limit: "50",
    ...(target === "" ? {} : { target }),
    ...(after === null ? {} : { after }),
  });
  return `/admin/audit?${query.toString()}`;
}
