// The form of a key: its fields as text, their errors, and the API requests they make.
import type { KeyView } from "../../shared/keys.ts";

export interface KeyFields {
  readonly name: string;
  readonly infer: boolean;
  readonly admin: boolean;
  /** Null: all, including future ones. */
  readonly agents: readonly string[] | null;
  readonly perSecond: string;
  readonly concurrent: string;
  readonly tokensPerMonth: string;
  readonly priority: KeyView["priority"];
  readonly fallback: KeyView["fallback"];
  readonly addressExempt: boolean;
  /** A day, `2027-01-31`, or empty. */
  readonly expires: string;
}

export const NEW_KEY: KeyFields = {
  name: "",
  infer: true,
  admin: false,
  agents: null,
  perSecond: "",
  concurrent: "",
  tokensPerMonth: "",
  priority: "normal",
  fallback: "auto",
  addressExempt: false,
  expires: "",
};

export function fieldsOf(key: KeyView): KeyFields {
  return {
    name: key.name,
    infer: key.scopes.includes("infer"),
    admin: key.scopes.includes("admin"),
    agents: key.agents,
    perSecond: String(key.limits.perSecond),
    concurrent: numberText(key.limits.concurrent),
    tokensPerMonth: numberText(key.limits.tokensPerMonth),
    priority: key.priority,
    fallback: key.fallback,
    addressExempt: key.addressExempt,
    expires: key.expiresAt === null ? "" : key.expiresAt.slice(0, 10),
  };
}

export type FieldErrors = Partial<Record<keyof KeyFields, string>>;

/** The edge validates again; these errors are shown next to the field. */
export function fieldErrors(fields: KeyFields): FieldErrors {
  const errors: { -readonly [K in keyof KeyFields]?: string } = {};
  if (fields.name.trim() === "") errors.name = "Enter a name: who uses the key, and for what.";
  if (!fields.infer && !fields.admin) errors.infer = "Choose at least one of the two.";
  if (fields.agents?.length === 0) errors.agents = "Choose at least one, or allow all.";
  for (const field of ["perSecond", "concurrent", "tokensPerMonth"] as const) {
    if (!isCountOrEmpty(fields[field])) errors[field] = "Enter a whole number above 0, or leave it empty.";
  }
  return errors;
}

/** Body of `POST /admin/keys`. */
export function newKeyBody(fields: KeyFields): Record<string, unknown> {
  const { perSecond, ...others } = limitsOf(fields);
  return { ...common(fields), limits: { ...(perSecond === null ? {} : { perSecond }), ...others } };
}

/** Body of `PATCH /admin/keys/:id`: only what changed; null if nothing did. */
export function keyChangeBody(before: KeyView, fields: KeyFields): Record<string, unknown> | null {
  const previous = common(fieldsOf(before));
  const current = common(fields);
  const change: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(current)) {
    if (JSON.stringify(value) !== JSON.stringify(previous[name])) change[name] = value;
  }
  const limits: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(limitsOf(fields))) {
    // The limit per second can't be removed: an empty field leaves it unchanged.
    if (name === "perSecond" && value === null) continue;
    if (value !== before.limits[name as keyof KeyView["limits"]]) limits[name] = value;
  }
  if (Object.keys(limits).length > 0) change["limits"] = limits;
  return Object.keys(change).length === 0 ? null : change;
}

function common(fields: KeyFields): Record<string, unknown> {
  return {
    name: fields.name.trim(),
    scopes: [...(fields.infer ? ["infer"] : []), ...(fields.admin ? ["admin"] : [])],
    agents: fields.agents,
    priority: fields.priority,
    fallback: fields.fallback,
    addressExempt: fields.addressExempt,
    expiresAt: fields.expires === "" ? null : fields.expires,
  };
}

function limitsOf(fields: KeyFields): Record<keyof KeyView["limits"], number | null> {
  return {
    perSecond: numberOf(fields.perSecond),
    concurrent: numberOf(fields.concurrent),
    tokensPerMonth: numberOf(fields.tokensPerMonth),
  };
}

/** Accepts 1,000,000, 1 000 000 and 1_000_000. */
const withoutSeparators = (text: string): string => text.replaceAll(/[\s,_.]/g, "");
const isCountOrEmpty = (text: string): boolean => /^([1-9]\d{0,14})?$/.test(withoutSeparators(text));
const numberOf = (text: string): number | null =>
  withoutSeparators(text) === "" ? null : Number(withoutSeparators(text));
const numberText = (value: number | null): string => (value === null ? "" : value.toLocaleString("en-GB"));
