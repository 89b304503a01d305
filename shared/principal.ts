// The principal of a request: a key and its permissions, as every part after authentication reads them.
import * as z from "zod/mini";
import { FALLBACK_POLICIES, PRIORITIES } from "./fleet.ts";
import { MAX_NAME_LENGTH } from "./limits.ts";

/** `infer`: call models. `admin`: manage the deployment. */
export const SCOPES = ["infer", "admin"] as const;

/** Everything stored about a key except its secret. */
export const KeyRecord = z.object({
  name: z.string().check(z.minLength(1), z.maxLength(MAX_NAME_LENGTH)),
  scopes: z.array(z.enum(SCOPES)).check(z.minLength(1)),
  /** Agent types that it may use; null for all. */
  agents: z.nullable(z.array(z.string())),
  limits: z.object({
    perSecond: z.int().check(z.positive()),
    concurrent: z.nullable(z.int().check(z.positive())),
    tokensPerMonth: z.nullable(z.int().check(z.positive())),
  }),
  priority: z.enum(PRIORITIES),
  fallback: z.enum(FALLBACK_POLICIES),
  /** Exempt from the address limit: for one backend with many users. */
  addressExempt: z.boolean(),
  /** In milliseconds since 1970; null for never. */
  expiresAt: z.nullable(z.int()),
});
export type KeyRecord = z.infer<typeof KeyRecord>;
export type Scope = (typeof SCOPES)[number];

/** A change to a key; an absent field stays the same. */
export interface RecordChange extends Partial<Omit<KeyRecord, "limits">> {
  readonly limits?: Partial<KeyRecord["limits"]>;
}

/** The key that authorizes a request. */
export interface Principal extends KeyRecord {
  readonly keyId: string;
}

/** The default record: may call every model, up to the given rate. */
export function plainRecord(name: string, perSecond: number, more: Partial<KeyRecord> = {}): KeyRecord {
  return {
    name,
    scopes: ["infer"],
    agents: null,
    limits: { perSecond, concurrent: null, tokensPerMonth: null },
    priority: "normal",
    fallback: "auto",
    addressExempt: false,
    expiresAt: null,
    ...more,
  };
}
