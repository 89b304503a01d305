// Ids in logs, usage and the audit that no list of keys has: nobody made such a key over the admin API.

/** Development keys, by the text that is their id as well: they count with `DEV_KEYS=1`, on a loopback host. */
export const DEV_KEY = "dev-key";
export const DEV_ADMIN_KEY = "dev-admin";

/** Calls without a key, where the fleet file lets them in. */
export const ANONYMOUS = "anonymous";

/** As `isha keys bootstrap` makes them; a key that the service makes has an id of twelve characters. */
const FIRST_KEY_ID = /^first[0-9a-f]{8}$/;

export function isFirstKeyId(id: string): boolean {
  return FIRST_KEY_ID.test(id);
}

/** What such an id stands for; null for a key's that was made, or that the fleet file lists. */
export function unlistedKey(id: string): string | null {
  switch (id) {
    case DEV_KEY:
    case DEV_ADMIN_KEY:
      return "a development key, good on its own machine alone";
    case ANONYMOUS:
      return "no key: the fleet file lets such calls in";
    default:
      return isFirstKeyId(id) ? "a first admin key, of isha keys bootstrap" : null;
  }
}
