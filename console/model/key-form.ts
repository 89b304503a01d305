// A key's form: what its fields hold as text, what is wrong with them in words, and what the API is told.
import type { KeyView } from "../../shared/keys.ts";

export interface KeyFields {
  readonly name: string;
  readonly infer: boolean;
  readonly admin: boolean;
  /** Null is all there are, also those to come. */
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

export type FieldFaults = Partial<Record<keyof KeyFields, string>>;

/** The edge checks all of it again; here it is said beside the field. */
export function keyFaults(fields: KeyFields): FieldFaults {
  const faults: { -readonly [K in keyof KeyFields]?: string } = {};
  if (fields.name.trim() === "") faults.name = "Give it a name: who uses it, and where.";
  if (!fields.infer && !fields.admin) faults.infer = "A key needs at least one of the two.";
  if (fields.agents?.length === 0) faults.agents = "Choose one at least, or allow all.";
  for (const field of ["perSecond", "concurrent", "tokensPerMonth"] as const) {
    if (!isCountOrEmpty(fields[field])) faults[field] = "A whole number above 0, or nothing.";
  }
  return faults;
}

/** Body of `POST /admin/keys`. */
export function newKeyBody(fields: KeyFields): Record<string, unknown> {
  const { perSecond, ...others } = limitsOf(fields);
  return { ...common(fields), limits: { ...(perSecond === null ? {} : { perSecond }), ...others } };
}

/** Body of `PATCH /admin/keys/:id`: only what changed; null where nothing did. */
export function keyChangeBody(before: KeyView, fields: KeyFields): Record<string, unknown> | null {
  const was = common(fieldsOf(before));
  const is = common(fields);
  const change: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(is)) {
    if (JSON.stringify(value) !== JSON.stringify(was[name])) change[name] = value;
  }
  const limits: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(limitsOf(fields))) {
    // No limit a second is no wish one can have: emptied, it stays as it was.
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

/** People write 1,000,000, 1 000 000 and 1_000_000. */
const bare = (text: string): string => text.replaceAll(/[\s,_.]/g, "");
const isCountOrEmpty = (text: string): boolean => /^([1-9]\d{0,14})?$/.test(bare(text));
const numberOf = (text: string): number | null => (bare(text) === "" ? null : Number(bare(text)));
const numberText = (value: number | null): string => (value === null ? "" : value.toLocaleString("en-GB"));
