// Hashes at the edge: of API keys, for the boxes' tokens, and for the opaque names of scopes. Uses WebCrypto and caches
// the imported keys.

/** Keys, not promises of keys: a promise belongs to the request that created it and may never settle for another. */
const keys = new Map<string, CryptoKey>();

/** HMAC-SHA-256 of `text` under `secret`, as lower-case hexadecimal. */
export async function hmacHex(secret: string, text: string): Promise<string> {
  let key = keys.get(secret);
  if (key === undefined) {
    key = await crypto.subtle.importKey(
      "raw",
      new TextEncoder().encode(secret),
      { name: "HMAC", hash: "SHA-256" },
      false,
      ["sign"],
    );
    keys.set(secret, key);
  }
  return hex(await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(text)));
}

/**
 * The name under which a box knows a scope: no client's name for a patient leaves the edge, and the same name under two
 * keys becomes two names.
 */
export async function scopeId(secret: string, keyId: string, name: string): Promise<string> {
  return (await hmacHex(secret, `isha-scope/1:${keyId.length}:${keyId}:${name}`)).slice(0, 32);
}

/** SHA-256 of a text, as lower-case hexadecimal. */
export async function sha256Hex(text: string): Promise<string> {
  return hex(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}

/** Whether a text is the expected one, in a time that doesn't reveal how much of it matches. */
export function isSameText(shown: string, expected: string): boolean {
  const [a, b] = [shown, expected].map((text) => new TextEncoder().encode(text));
  return a !== undefined && b !== undefined && a.length === b.length && crypto.subtle.timingSafeEqual(a, b);
}

function hex(bytes: ArrayBuffer): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
