// Creates keys at a measured edge, through its admin routes.
import type { Call } from "./calls.ts";

const AT_ONCE = 16;

/** @returns keys that are exempt from the address limit; @throws Error with the answer if one isn't created */
export async function createKeys(
  edgeUrl: string,
  count: number,
  limits: Readonly<Record<string, number>> = {},
): Promise<string[]> {
  const keys: string[] = [];
  let begun = 0;
  async function worker(): Promise<void> {
    while (begun < count) {
      begun += 1;
      keys.push(await createKey(edgeUrl, limits));
    }
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, worker));
  return keys;
}

async function createKey(edgeUrl: string, limits: Readonly<Record<string, number>>): Promise<string> {
  const answer = await fetch(`${edgeUrl}/admin/keys`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer dev-admin" },
    body: JSON.stringify({ name: "bench", limits, addressExempt: true }),
  });
  if (!answer.ok) throw new Error(`no key was created: ${await answer.text()}`);
  return ((await answer.json()) as { key: string }).key;
}

export function withKey(call: Call, key: string): Call {
  return { ...call, headers: { ...call.headers, authorization: `Bearer ${key}` } };
}
