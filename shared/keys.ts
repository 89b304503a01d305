// Keys as the admin API shows and takes them. What a key may do is `KeyRecord` (principal.ts); times are ISO 8601 in
// the API and milliseconds inside.
import * as z from "zod";
import { FALLBACK_POLICIES, PRIORITIES } from "./fleet.ts";
import { MAX_NAME_LENGTH } from "./limits.ts";
import { SCOPES } from "./principal.ts";

/** The most a key may be given, whatever the fleet file allows: beyond it a number is a slip of the hand. */
const MAX_PER_SECOND = 100_000;
const MAX_CONCURRENT = 10_000;
const MAX_TOKENS = 1_000_000_000_000;
const MAX_AGENTS = 100;

/** Entries of one page, by default and at most: a page of the most is some 100 KB. */
const PAGE = 100;
const MAX_A_PAGE = 200;

/** A key's id, as it stands in the key: `isha_<id>_…`. Legacy keys' ids are `legacy_<16 hexadecimal digits>`. */
export const KeyId = z.string().regex(/^[0-9A-Za-z_-]{3,64}$/, "a key's id, as `isha keys list` shows it");

/** An object that takes these fields and no others, and says which those are. */
function only<T extends z.core.$ZodLooseShape>(shape: T): z.ZodObject<T, z.core.$strict> {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === "unrecognized_keys"
        ? `there is no such field; there are: ${Object.keys(shape).join(", ")}`
        : undefined,
  });
}

const keyName = z
  .string()
  .trim()
  .min(1)
  .max(MAX_NAME_LENGTH)
  // Direction and format characters among them: a name must read as what it is.
  .regex(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$/u, "no control or format characters");
const scopes = z
  .array(z.enum(SCOPES))
  .min(1)
  .max(SCOPES.length)
  .transform((list) => SCOPES.filter((scope) => list.includes(scope)));
const agents = z.array(z.string().min(1).max(MAX_NAME_LENGTH)).min(1).max(MAX_AGENTS).nullable();
const perSecond = z.int().min(1).max(MAX_PER_SECOND);
const concurrent = z.int().min(1).max(MAX_CONCURRENT).nullable();
const tokensPerMonth = z.int().min(1).max(MAX_TOKENS).nullable();
/** A moment, or a day (its beginning in UTC). */
export const moment = z.union([z.iso.datetime({ offset: true }), z.iso.date()], {
  error: "must be a moment such as 2026-12-31T23:59:59Z, or a day such as 2026-12-31",
});

/** Body of `POST /admin/keys`. What is left out is as a plain client's key has it; `perSecond` as the fleet file says. */
export const NewKey = only({
  name: keyName,
  scopes: scopes.default(["infer"]),
  agents: agents.default(null),
  limits: only({
    perSecond: perSecond.optional(),
    concurrent: concurrent.default(null),
    tokensPerMonth: tokensPerMonth.default(null),
  }).prefault({}),
  priority: z.enum(PRIORITIES).default("normal"),
  fallback: z.enum(FALLBACK_POLICIES).default("auto"),
  addressExempt: z.boolean().default(false),
  expiresAt: moment.nullable().default(null),
}).meta({ id: "NewKey" });
export type NewKey = z.output<typeof NewKey>;

/** Body of `PATCH /admin/keys/:id`: what is left out stays as it is. */
export const KeyChange = only({
  name: keyName.optional(),
  scopes: scopes.optional(),
  agents: agents.optional(),
  limits: only({
    perSecond: perSecond.optional(),
    concurrent: concurrent.optional(),
    tokensPerMonth: tokensPerMonth.optional(),
  }).optional(),
  priority: z.enum(PRIORITIES).optional(),
  fallback: z.enum(FALLBACK_POLICIES).optional(),
  addressExempt: z.boolean().optional(),
  expiresAt: moment.nullable().optional(),
})
  .refine((change) => Object.keys(change).length > 0, "names nothing to change")
  .meta({ id: "KeyChange" });
export type KeyChange = z.output<typeof KeyChange>;

/** How long the old secret goes on by default, seconds, and at most: a day to redeploy, a month for slow partners. */
export const ROTATION_GRACE_S = 24 * 60 * 60;
export const MAX_ROTATION_GRACE_S = 30 * 24 * 60 * 60;

/** Body of `POST /admin/keys/:id/rotate`; none is the default. */
export const KeyRotation = only({
  graceSeconds: z.int().min(0).max(MAX_ROTATION_GRACE_S).default(ROTATION_GRACE_S),
}).meta({ id: "KeyRotation" });

/** Names of the fields above, which a refusal may show. */
export const KEY_FIELDS: ReadonlySet<string> = new Set([
  ...Object.keys(KeyChange.shape),
  ...Object.keys(KeyChange.shape.limits.unwrap().shape),
  ...Object.keys(KeyRotation.shape),
]);

/** `legacy`: the fleet file isFresh for it. */
export const KEY_STATES = ["active", "expired", "revoked", "legacy"] as const;

/** A key as it is shown: never its secret. */
export const KeyView = z
  .object({
    id: KeyId,
    name: z.string(),
    state: z.enum(KEY_STATES),
    scopes: z.array(z.enum(SCOPES)),
    agents: z.array(z.string()).nullable(),
    limits: z.object({
      perSecond: z.int(),
      concurrent: z.int().nullable(),
      tokensPerMonth: z.int().nullable(),
    }),
    priority: z.enum(PRIORITIES),
    fallback: z.enum(FALLBACK_POLICIES),
    addressExempt: z.boolean(),
    expiresAt: z.iso.datetime().nullable(),
    createdAt: z.iso.datetime().nullable(),
    revokedAt: z.iso.datetime().nullable(),
    /** Until when the secret before the last rotation goes on; null where there is none. */
    oldSecretUntil: z.iso.datetime().nullable(),
  })
  .meta({ id: "Key" });
export type KeyView = z.infer<typeof KeyView>;

/** Answer to a creation and to a rotation: the one time a key is told. */
export const KeyWithSecret = z.object({ ...KeyView.shape, key: z.string() }).meta({ id: "KeyWithSecret" });
export type KeyWithSecret = z.infer<typeof KeyWithSecret>;

/** A number as a query spells it. */
const limit = z.coerce
  .number({ error: `must be a whole number from 1 to ${MAX_A_PAGE}` })
  .int()
  .min(1)
  .max(MAX_A_PAGE)
  .default(PAGE);

/** Query of `GET /admin/keys`. */
export const KeyListQuery = only({
  state: z.enum(KEY_STATES).optional(),
  after: KeyId.optional(),
  limit,
});
export type KeyListQuery = z.output<typeof KeyListQuery>;

/** Answer to `GET /admin/keys?state&after&limit`: oldest first, the fleet file's legacy keys last. */
export const KeyList = z
  .object({
    keys: z.array(KeyView),
    /** `after` of the next page; null on the last. */
    next: z.string().nullable(),
  })
  .meta({ id: "KeyList" });
export type KeyList = z.infer<typeof KeyList>;

/** What an operator did. */
export const AUDIT_ACTIONS = [
  "key.create",
  "key.change",
  "key.revoke",
  "key.rotate",
  "first-key.use",
  "box.drain",
  "box.resume",
  "server.restart",
  "alerts.test",
] as const;

/** A field's value, as the audit tells it. */
const AuditValue = z.union([z.string(), z.number(), z.boolean(), z.null(), z.array(z.string())]);

export const AuditEntry = z
  .object({
    at: z.iso.datetime(),
    /** Id of the admin key that did it. */
    actor: z.string(),
    action: z.enum(AUDIT_ACTIONS),
    /** What it was done to: a key's id, a box, a box's server (`north:9001`), or the webhook. */
    target: z.string(),
    /** What changed, by field: names and limits, never a secret. */
    detail: z.record(z.string(), z.union([AuditValue, z.object({ from: AuditValue, to: AuditValue })])),
    requestId: z.string(),
  })
  .meta({ id: "AuditEntry" });
export type AuditValue = z.infer<typeof AuditValue>;
export type AuditEntry = z.infer<typeof AuditEntry>;

/** Query of `GET /admin/audit`. */
export const AuditQuery = only({
  target: z
    .string()
    .regex(/^[0-9A-Za-z._:-]{1,160}$/, "a key's id, a box, or a box's server such as north:9001")
    .optional(),
  after: z
    .string()
    .regex(/^\d{1,15}$/, "must be the `next` of the page before")
    .optional(),
  limit,
});
export type AuditQuery = z.output<typeof AuditQuery>;

/** Answer to `GET /admin/audit?target&after&limit`, newest first. */
export const AuditList = z
  .object({ entries: z.array(AuditEntry), next: z.string().nullable() })
  .meta({ id: "AuditList" });
export type AuditList = z.infer<typeof AuditList>;
