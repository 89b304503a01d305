// Types of the bindings, and the only reader of the edge's environment, which it validates.
import * as z from "zod/mini";
import { parsedJson } from "../shared/parsed-json.ts";
import type { ApiKey } from "./keys/api-key-object.ts";
import type { ClientAddress } from "./limits/client-address-object.ts";
import type { Fleet } from "./fleet/object/fleet-object.ts";
import type { KeyRegistry } from "./keys/registry-object.ts";
import type { Ledger } from "./usage/ledger-object.ts";

/** As bound in wrangler.toml. */
export interface Bindings {
  readonly API_KEY: DurableObjectNamespace<ApiKey>;
  readonly CLIENT_ADDRESS: DurableObjectNamespace<ClientAddress>;
  readonly KEY_REGISTRY: DurableObjectNamespace<KeyRegistry>;
  readonly LEDGER: DurableObjectNamespace<Ledger>;
  readonly FLEET: DurableObjectNamespace<Fleet>;
  /** The console's files. */
  readonly ASSETS: Fetcher;
  /** The platform's own coarse limit, before our limiters. */
  readonly ADDRESS_SHIELD: RateLimit;
  readonly BOX_SECRET?: string;
  readonly BOX_SECRET_PREVIOUS?: string;
  readonly DEV_KEYS?: string;
  readonly BOX_ORIGINS?: string;
  /** The URL for alarms; the fleet object reads it. */
  readonly ALERT_WEBHOOK_URL?: string;
  readonly ACCESS_CLIENT_ID?: string;
  readonly ACCESS_CLIENT_SECRET?: string;
  readonly FIRST_ADMIN_KEY_SHA256?: string;
}

const originsJson = parsedJson('must be JSON such as {"box1":"http://127.0.0.1:8000"}');

const origins = z.pipe(
  z.pipe(
    z.string(),
    z.transform((text, context) => (text === "" ? {} : originsJson(text, context))),
  ),
  z.record(z.string(), z.url()),
);

const Environment = z
  .object({
    /** Shared with the agents; the boxes' tokens are derived from it. */
    BOX_SECRET: z.string().check(z.minLength(16)),
    /** The previous secret during a rotation: boxes that still have it may dial. */
    BOX_SECRET_PREVIOUS: z._default(z.union([z.literal(""), z.string().check(z.minLength(16))]), ""),
    /** `1` admits `dev-key` and `dev-admin`, on a loopback host only. */
    DEV_KEYS: z._default(z.enum(["", "0", "1"]), ""),
    /** URLs of boxes that differ from the fleet file's origins. */
    BOX_ORIGINS: z._default(origins, {}),
    /** The Access service token for the tunnel's hostnames. */
    ACCESS_CLIENT_ID: z.optional(z.string()),
    ACCESS_CLIENT_SECRET: z.optional(z.string()),
    /** Hash of the first admin key, which is valid until another admin key is created. If all admin keys are lost, a new one restores access. */
    FIRST_ADMIN_KEY_SHA256: z._default(
      z
        .string()
        .check(
          z.regex(
            /^([0-9a-f]{64})?$/,
            "must be 64 lower-case hexadecimal digits, as `isha keys bootstrap` prints them",
          ),
        ),
      "",
    ),
  })
  .check(
    z.refine(
      (value) => (value.ACCESS_CLIENT_ID === undefined) === (value.ACCESS_CLIENT_SECRET === undefined),
      {
        path: ["ACCESS_CLIENT_SECRET"],
        error: "ACCESS_CLIENT_ID and ACCESS_CLIENT_SECRET must be set together",
      },
    ),
  );

export interface Settings {
  readonly boxSecret: string;
  /** Accepted from boxes that dial; null if none is set. */
  readonly boxSecretPrevious: string | null;
  readonly devKeys: boolean;
  readonly boxOrigins: Readonly<Record<string, string>>;
  readonly access: { readonly clientId: string; readonly clientSecret: string } | null;
  /** SHA-256 of the deployment's first admin key in hexadecimal; null if none is set. */
  readonly firstAdminSha256: string | null;
}

/** A fault of the environment. Its message names variables and never contains a value, so it may be logged. */
export class SettingsError extends Error {}

/**
 * Validates the environment.
 * @throws SettingsError with the names of the missing and invalid variables
 */
export function readSettings(bindings: Bindings): Settings {
  const cached = cache.get(bindings);
  if (cached !== undefined) return cached;
  const parsed = Environment.safeParse(bindings);
  if (!parsed.success) {
    const names = parsed.error.issues
      .map((issue) => `${String(issue.path[0])} (${issue.message})`)
      .join(", ");
    throw new SettingsError(`the edge's environment is invalid: ${names}`);
  }
  const value = parsed.data;
  const settings: Settings = {
    boxSecret: value.BOX_SECRET,
    boxSecretPrevious: value.BOX_SECRET_PREVIOUS === "" ? null : value.BOX_SECRET_PREVIOUS,
    devKeys: value.DEV_KEYS === "1",
    boxOrigins: value.BOX_ORIGINS,
    access:
      value.ACCESS_CLIENT_ID !== undefined && value.ACCESS_CLIENT_SECRET !== undefined
        ? { clientId: value.ACCESS_CLIENT_ID, clientSecret: value.ACCESS_CLIENT_SECRET }
        : null,
    firstAdminSha256: value.FIRST_ADMIN_KEY_SHA256 === "" ? null : value.FIRST_ADMIN_KEY_SHA256,
  };
  cache.set(bindings, settings);
  return settings;
}

/** One entry per isolate: the platform passes the same object to every request. */
const cache = new WeakMap<Bindings, Settings>();
