// What the platform gives the edge: bindings, and the environment read and checked in one place.
import * as z from "zod";
import { parsedJson } from "../shared/parsed-json.ts";
import type { ApiKey } from "./keys/api-key-object.ts";
import type { ClientAddress } from "./limits/client-address-object.ts";
import type { Fleet } from "./fleet/object/fleet-object.ts";
import type { KeyRegistry } from "./keys/registry-object.ts";
import type { Ledger } from "./usage/ledger-object.ts";

/** As wrangler.toml binds it. */
export interface Bindings {
  readonly API_KEY: DurableObjectNamespace<ApiKey>;
  readonly CLIENT_ADDRESS: DurableObjectNamespace<ClientAddress>;
  readonly KEY_REGISTRY: DurableObjectNamespace<KeyRegistry>;
  readonly LEDGER: DurableObjectNamespace<Ledger>;
  readonly FLEET: DurableObjectNamespace<Fleet>;
  /** The console's files. */
  readonly ASSETS: Fetcher;
  /** The platform's own coarse limit, before everything of ours. */
  readonly ADDRESS_SHIELD: RateLimit;
  readonly BOX_SECRET?: string;
  readonly BOX_SECRET_PREVIOUS?: string;
  readonly DEV_KEYS?: string;
  readonly BOX_ORIGINS?: string;
  /** Where alarms are posted; read by the fleet object. */
  readonly ALERT_WEBHOOK_URL?: string;
  readonly ACCESS_CLIENT_ID?: string;
  readonly ACCESS_CLIENT_SECRET?: string;
  readonly FIRST_ADMIN_KEY_SHA256?: string;
}

const originsJson = parsedJson('must be JSON such as {"box1":"http://127.0.0.1:8000"}');

const origins = z
  .string()
  .transform((text, context) => (text === "" ? {} : originsJson(text, context)))
  .pipe(z.record(z.string(), z.url()));

const Environment = z
  .object({
    /** Shared with the agents; the boxes' tokens are made of it. */
    BOX_SECRET: z.string().min(16),
    /** The one before it, while it is rotated: boxes that still have it may dial. */
    BOX_SECRET_PREVIOUS: z.union([z.literal(""), z.string().min(16)]).default(""),
    /** `1` lets `dev-key` and `dev-admin` in, on a loopback host alone. */
    DEV_KEYS: z.enum(["", "0", "1"]).default(""),
    /** Where a box is reached when not at the fleet file's origin. */
    BOX_ORIGINS: origins.default({}),
    /** The Access service token that lets the edge through to the tunnel's hostnames. */
    ACCESS_CLIENT_ID: z.string().optional(),
    ACCESS_CLIENT_SECRET: z.string().optional(),
    /** Hash of the key that makes the first admin key, and dies with that; a new one is the way back in where all are lost. */
    FIRST_ADMIN_KEY_SHA256: z
      .string()
      .regex(
        /^([0-9a-f]{64})?$/,
        "must be 64 lower-case hexadecimal digits, as `isha keys bootstrap` prints them",
      )
      .default(""),
  })
  .refine((value) => (value.ACCESS_CLIENT_ID === undefined) === (value.ACCESS_CLIENT_SECRET === undefined), {
    path: ["ACCESS_CLIENT_SECRET"],
    error: "ACCESS_CLIENT_ID and ACCESS_CLIENT_SECRET belong together: set both or neither",
  });

export interface Settings {
  readonly boxSecret: string;
  /** Counts for links that boxes dial; null where none is set. */
  readonly boxSecretPrevious: string | null;
  readonly devKeys: boolean;
  readonly boxOrigins: Readonly<Record<string, string>>;
  readonly access: { readonly clientId: string; readonly clientSecret: string } | null;
  /** SHA-256 of the deployment's first admin key, hexadecimal; null where none is set. */
  readonly firstAdminSha256: string | null;
}

/** What is wrong with the environment, in words that hold names of variables alone: fit for the log. */
export class SettingsError extends Error {}

/**
 * The checked environment.
 * @throws SettingsError that names the variables that are missing or wrong, never their values.
 */
export function readSettings(bindings: Bindings): Settings {
  const known = cache.get(bindings);
  if (known !== undefined) return known;
  const parsed = Environment.safeParse(bindings);
  if (!parsed.success) {
    const names = parsed.error.issues
      .map((issue) => `${String(issue.path[0])} (${issue.message})`)
      .join(", ");
    throw new SettingsError(`the edge's environment is not right: ${names}`);
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

/** Checked once an isolate: the platform hands the same object to every request. */
const cache = new WeakMap<Bindings, Settings>();
