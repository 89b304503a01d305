// Schemas of the admin API for keys and the audit. A key's permissions are `KeyRecord` (principal.ts); times are ISO 8601
// in the API, and milliseconds since 1970 elsewhere.
import * as z from "zod";
import { FALLBACK_POLICIES, PRIORITIES } from "./fleet.ts";
import { MAX_NAME_LENGTH } from "./limits.ts";
import { SCOPES } from "./principal.ts";

/** Upper bounds whatever the fleet file allows; higher numbers are typing errors. */
const MAX_PER_SECOND = 100_000;
const MAX_CONCURRENT = 10_000;
const MAX_TOKENS = 1_000_000_000_000;
const MAX_AGENTS = 100;

/** Entries of one page, by default and at most; the largest page is some 100 KB. */
const PAGE_ENTRIES = 100;
const MAX_PAGE_ENTRIES = 200;

/** A key's id, which is part of the key: `isha_<id>_…`. Legacy keys have ids such as `legacy_<16 hexadecimal digits>`. */
export const KeyId = z
  .string()
  .regex(/^[0-9A-Za-z_-]{3,64}$/, "must be a key's id, as `isha keys list` shows it");

/** An object with these fields only; the error for any other field lists them. */
function only<T extends z.core.$ZodLooseShape>(shape: T): z.ZodObject<T, z.core.$strict> {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === "unrecognized_keys"
        ? `unknown field; the fields are: ${Object.keys(shape).join(", ")}`
        : undefined,
  });
}

const keyName = z
  .string()
  .trim()
  .min(1)
  .max(MAX_NAME_LENGTH)
  // These include characters that change the direction of text: a name must be what it looks like.
  .regex(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$/u, "must have no control or format characters");
const scopes = z
  .array(z.enum(SCOPES))
  .min(1)
  .max(SCOPES.length)
  .transform((list) => SCOPES.filter((scope) => list.includes(scope)));
const agents = z.array(z.string().min(1).max(MAX_NAME_LENGTH)).min(1).max(MAX_AGENTS).nullable();
const perSecond = z.int().min(1).max(MAX_PER_SECOND);
const concurrent = z.int().min(1).max(MAX_CONCURRENT).nullable();
const tokensPerMonth = z.int().min(1).max(MAX_TOKENS).nullable();
/** A time, or a day (its start in UTC). */
export const moment = z.union([z.iso.datetime({ offset: true }), z.iso.date()], {
  error: "must be a time such as 2026-12-31T23:59:59Z, or a day such as 2026-12-31",
});

/** Body of `POST /admin/keys`. The defaults are those of a plain client's key; `perSecond` defaults to the fleet file's limit. */
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

/** Body of `PATCH /admin/keys/:id`: absent fields stay the same. */
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
  .refine((change) => Object.keys(change).length > 0, "must have at least one field to change")
  .meta({ id: "KeyChange" });
export type KeyChange = z.output<typeof KeyChange>;

/** How long the old secret stays valid, by default and at most: a day to redeploy, a month for slow partners. */
export const ROTATION_GRACE_S = 24 * 60 * 60;
export const MAX_ROTATION_GRACE_S = 30 * 24 * 60 * 60;

/** Body of `POST /admin/keys/:id/rotate`; without a body the default applies. */
export const KeyRotation = only({
  graceSeconds: z.int().min(0).max(MAX_ROTATION_GRACE_S).default(ROTATION_GRACE_S),
}).meta({ id: "KeyRotation" });

/** Names of the fields above; a refusal may contain them. */
export const KEY_FIELDS: ReadonlySet<string> = new Set([
  ...Object.keys(KeyChange.shape),
  ...Object.keys(KeyChange.shape.limits.unwrap().shape),
  ...Object.keys(KeyRotation.shape),
]);

/** `legacy`: the key is defined in the fleet file. */
export const KEY_STATES = ["active", "expired", "revoked", "legacy"] as const;

/** A key as the API returns it, without its secret. */
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
    /** Until when the secret from before the last rotation is valid; null if there is none. */
    oldSecretUntil: z.iso.datetime().nullable(),
  })
  .meta({ id: "Key" });
export type KeyView = z.infer<typeof KeyView>;

/** Answer to a creation and to a rotation: the only answers that contain a key. */
export const KeyWithSecret = z.object({ ...KeyView.shape, key: z.string() }).meta({ id: "KeyWithSecret" });
export type KeyWithSecret = z.infer<typeof KeyWithSecret>;

/** A number in a query. */
const limit = z.coerce
  .number({ error: `must be an integer from 1 to ${MAX_PAGE_ENTRIES}` })
  .int()
  .min(1)
  .max(MAX_PAGE_ENTRIES)
  .default(PAGE_ENTRIES);

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

const AUDIT_ACTIONS = [
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

/** The value of a field in the audit. */
const AuditValue = z.union([z.string(), z.number(), z.boolean(), z.null(), z.array(z.string())]);

export const AuditEntry = z
  .object({
    at: z.iso.datetime(),
    /** Id of the admin key that was used. */
    actor: z.string(),
    action: z.enum(AUDIT_ACTIONS),
    /** The object of the action: a key's id, a box, a box's server (`north:9001`), or the webhook. */
    target: z.string(),
    /** The changed fields: names and limits, never a secret. */
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
    .regex(/^[0-9A-Za-z._:-]{1,160}$/, "must be a key's id, a box, or a box's server such as north:9001")
    .optional(),
  after: z
    .string()
    .regex(/^\d{1,15}$/, "must be the `next` of the previous page")
    .optional(),
  limit,
});
export type AuditQuery = z.output<typeof AuditQuery>;

/** Answer to `GET /admin/audit?target&after&limit`, newest first. */
export const AuditList = z
  .object({ entries: z.array(AuditEntry), next: z.string().nullable() })
  .meta({ id: "AuditList" });
export type AuditList = z.infer<typeof AuditList>;

/** Development keys; the text is the id too. They are valid with `DEV_KEYS=1` on a loopback host only. */
export const DEV_KEY = "dev-key";
export const DEV_ADMIN_KEY = "dev-admin";

/** The id of calls without a key, if the fleet file admits them. */
export const ANONYMOUS = "anonymous";

/** As `isha keys bootstrap` creates them; a key that the service creates has an id of twelve characters. */
const FIRST_KEY_ID = /^first[0-9a-f]{8}$/;

export function isFirstKeyId(id: string): boolean {
  return FIRST_KEY_ID.test(id);
}

/** Explains an id that no list of keys contains, since the admin API didn't create it; null for any other id. */
export function unlistedKey(id: string): string | null {
  switch (id) {
    case DEV_KEY:
    case DEV_ADMIN_KEY:
      return "a development key, valid on its own machine only";
    case ANONYMOUS:
      return "no key: the fleet file admits such calls";
    default:
      return isFirstKeyId(id) ? "a first admin key, created by isha keys bootstrap" : null;
  }
}
