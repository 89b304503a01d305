// Schemas of the admin API for keys and the audit. A key's permissions are `KeyRecord` (principal.ts); times are ISO 8601
// in the API, and milliseconds since 1970 elsewhere.
import * as z from "zod/mini";
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
  .check(z.regex(/^[0-9A-Za-z_-]{3,64}$/, "must be a key's id, as `isha keys list` shows it"));

/** An object with these fields only; the error for any other field lists them. */
function only<T extends z.core.$ZodLooseShape>(shape: T): z.ZodMiniObject<T, z.core.$strict> {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === "unrecognized_keys"
        ? `unknown field; the fields are: ${Object.keys(shape).join(", ")}`
        : undefined,
  });
}

const keyName = z.string().check(
  z.trim(),
  z.minLength(1),
  z.maxLength(MAX_NAME_LENGTH),
  // These include characters that change the direction of text: a name must be what it looks like.
  z.regex(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$/u, "must have no control or format characters"),
);
const scopes = z.pipe(
  z.array(z.enum(SCOPES)).check(z.minLength(1), z.maxLength(SCOPES.length)),
  z.transform((list) => SCOPES.filter((scope) => list.includes(scope))),
);
const agents = z.nullable(
  z
    .array(z.string().check(z.minLength(1), z.maxLength(MAX_NAME_LENGTH)))
    .check(z.minLength(1), z.maxLength(MAX_AGENTS)),
);
const perSecond = z.int().check(z.gte(1), z.lte(MAX_PER_SECOND));
const concurrent = z.nullable(z.int().check(z.gte(1), z.lte(MAX_CONCURRENT)));
const tokensPerMonth = z.nullable(z.int().check(z.gte(1), z.lte(MAX_TOKENS)));
/** A time, or a day (its start in UTC). */
export const moment = z.union([z.iso.datetime({ offset: true }), z.iso.date()], {
  error: "must be a time such as 2026-12-31T23:59:59Z, or a day such as 2026-12-31",
});

/** Body of `POST /admin/keys`. The defaults are those of a plain client's key; `perSecond` defaults to the fleet file's limit. */
export const NewKey = only({
  name: keyName,
  scopes: z._default(scopes, ["infer"]),
  agents: z._default(agents, null),
  limits: z.prefault(
    only({
      perSecond: z.optional(perSecond),
      concurrent: z._default(concurrent, null),
      tokensPerMonth: z._default(tokensPerMonth, null),
    }),
    {},
  ),
  priority: z._default(z.enum(PRIORITIES), "normal"),
  fallback: z._default(z.enum(FALLBACK_POLICIES), "auto"),
  addressExempt: z._default(z.boolean(), false),
  expiresAt: z._default(z.nullable(moment), null),
}).check(z.meta({ id: "NewKey" }));
export type NewKey = z.output<typeof NewKey>;

/** Body of `PATCH /admin/keys/:id`: absent fields stay the same. */
export const KeyChange = only({
  name: z.optional(keyName),
  scopes: z.optional(scopes),
  agents: z.optional(agents),
  limits: z.optional(
    only({
      perSecond: z.optional(perSecond),
      concurrent: z.optional(concurrent),
      tokensPerMonth: z.optional(tokensPerMonth),
    }),
  ),
  priority: z.optional(z.enum(PRIORITIES)),
  fallback: z.optional(z.enum(FALLBACK_POLICIES)),
  addressExempt: z.optional(z.boolean()),
  expiresAt: z.optional(z.nullable(moment)),
}).check(
  z.refine((change) => Object.keys(change).length > 0, "must have at least one field to change"),
  z.meta({ id: "KeyChange" }),
);
export type KeyChange = z.output<typeof KeyChange>;

/** How long the old secret stays valid, by default and at most: a day to redeploy, a month for slow partners. */
export const ROTATION_GRACE_S = 24 * 60 * 60;
export const MAX_ROTATION_GRACE_S = 30 * 24 * 60 * 60;

/** Body of `POST /admin/keys/:id/rotate`; without a body the default applies. */
export const KeyRotation = only({
  graceSeconds: z._default(z.int().check(z.gte(0), z.lte(MAX_ROTATION_GRACE_S)), ROTATION_GRACE_S),
}).check(z.meta({ id: "KeyRotation" }));

/** Names of the fields above; a refusal may contain them. */
export const KEY_FIELDS: ReadonlySet<string> = new Set([
  ...Object.keys(KeyChange.shape),
  ...Object.keys(KeyChange.shape.limits.def.innerType.shape),
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
    agents: z.nullable(z.array(z.string())),
    limits: z.object({
      perSecond: z.int(),
      concurrent: z.nullable(z.int()),
      tokensPerMonth: z.nullable(z.int()),
    }),
    priority: z.enum(PRIORITIES),
    fallback: z.enum(FALLBACK_POLICIES),
    addressExempt: z.boolean(),
    expiresAt: z.nullable(z.iso.datetime()),
    createdAt: z.nullable(z.iso.datetime()),
    revokedAt: z.nullable(z.iso.datetime()),
    /** Until when the secret from before the last rotation is valid; null if there is none. */
    oldSecretUntil: z.nullable(z.iso.datetime()),
  })
  .check(z.meta({ id: "Key" }));
export type KeyView = z.infer<typeof KeyView>;

/** Answer to a creation and to a rotation: the only answers that contain a key. */
export const KeyWithSecret = z
  .object({ ...KeyView.shape, key: z.string() })
  .check(z.meta({ id: "KeyWithSecret" }));
export type KeyWithSecret = z.infer<typeof KeyWithSecret>;

/** A number in a query. */
const limit = z._default(
  z.coerce
    .number({ error: `must be an integer from 1 to ${MAX_PAGE_ENTRIES}` })
    .check(z.int(), z.gte(1), z.lte(MAX_PAGE_ENTRIES)),
  PAGE_ENTRIES,
);

/** Query of `GET /admin/keys`. */
export const KeyListQuery = only({
  state: z.optional(z.enum(KEY_STATES)),
  after: z.optional(KeyId),
  limit,
});
export type KeyListQuery = z.output<typeof KeyListQuery>;

/** Answer to `GET /admin/keys?state&after&limit`: oldest first, the fleet file's legacy keys last. */
export const KeyList = z
  .object({
    keys: z.array(KeyView),
    /** `after` of the next page; null on the last. */
    next: z.nullable(z.string()),
  })
  .check(z.meta({ id: "KeyList" }));
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
  .check(z.meta({ id: "AuditEntry" }));
export type AuditValue = z.infer<typeof AuditValue>;
export type AuditEntry = z.infer<typeof AuditEntry>;

/** Query of `GET /admin/audit`. */
export const AuditQuery = only({
  target: z.optional(
    z
      .string()
      .check(
        z.regex(
          /^[0-9A-Za-z._:-]{1,160}$/,
          "must be a key's id, a box, or a box's server such as north:9001",
        ),
      ),
  ),
  after: z.optional(z.string().check(z.regex(/^\d{1,15}$/, "must be the `next` of the previous page"))),
  limit,
});
export type AuditQuery = z.output<typeof AuditQuery>;

/** Answer to `GET /admin/audit?target&after&limit`, newest first. */
export const AuditList = z
  .object({ entries: z.array(AuditEntry), next: z.nullable(z.string()) })
  .check(z.meta({ id: "AuditList" }));
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
