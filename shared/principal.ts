// Who a call acts for: what a key may do, as every part after authentication sees it.
import * as z from "zod";
import { FALLBACK_POLICIES, PRIORITIES } from "./fleet.ts";
import { MAX_NAME_LENGTH } from "./limits.ts";

/** `infer`: ask models. `admin`: look after the deployment. */
export const SCOPES = ["infer", "admin"] as const;

/** What is known of a key beside its secret. */
export const KeyRecord = z.object({
  name: z.string().min(1).max(MAX_NAME_LENGTH),
  scopes: z.array(z.enum(SCOPES)).min(1),
  /** Agent types it may use; null is all. */
  agents: z.array(z.string()).nullable(),
  limits: z.object({
    perSecond: z.int().positive(),
    concurrent: z.int().positive().nullable(),
    tokensPerMonth: z.int().positive().nullable(),
  }),
  priority: z.enum(PRIORITIES),
  fallback: z.enum(FALLBACK_POLICIES),
  /** Not counted against its address: one backend that speaks for many users. */
  addressExempt: z.boolean(),
  /** Milliseconds since 1970, or null. */
  expiresAt: z.int().nullable(),
});
export type KeyRecord = z.infer<typeof KeyRecord>;
export type Scope = (typeof SCOPES)[number];

/** What changes of a key: what is left out stays. */
export interface RecordChange extends Partial<Omit<KeyRecord, "limits">> {
  readonly limits?: Partial<KeyRecord["limits"]>;
}

/** The key a request acts for. */
export interface Principal extends KeyRecord {
  readonly keyId: string;
}

/** What a key may that is described no further: call every model, as often as the fleet file lets a key. */
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
