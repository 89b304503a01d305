// Keys for tests, created over the admin API.
import { env } from "cloudflare:workers";
import { runInDurableObject } from "cloudflare:test";
import { formatApiKey } from "../../../shared/api-key.ts";
import type { KeyWithSecret } from "../../../shared/keys.ts";
import { registryObject } from "../../../worker/stubs.ts";
import { sha256Hex } from "../../../worker/auth/keyed-hash.ts";
import type { Edge } from "./edge.ts";

export const KEYS = "/admin/keys";

/** Creates a key with the development admin key. */
export async function newKey(
  edge: Edge,
  body: Readonly<Record<string, unknown>> = {},
): Promise<KeyWithSecret> {
  const answer = await edge(KEYS, { key: "dev-admin", body: { name: "app", ...body } });
  if (answer.status !== 201) throw new Error(`no key was created: ${await answer.text()}`);
  return answer.json<KeyWithSecret>();
}

/** A first admin key of a deployment, with its hash. */
export async function firstKey(): Promise<{
  readonly id: string;
  readonly key: string;
  readonly sha256: string;
}> {
  const id = crypto.randomUUID().replaceAll("-", "").slice(0, 12);
  const key = formatApiKey(id, crypto.getRandomValues(new Uint8Array(32)));
  return { id, key, sha256: await sha256Hex(key) };
}

/** Empties the deployment's registry, for tests without an admin key. */
export async function forgetAllKeys(): Promise<void> {
  await runInDurableObject(registryObject(env), (_, { storage }) => {
    storage.sql.exec("DELETE FROM keys");
  });
}
