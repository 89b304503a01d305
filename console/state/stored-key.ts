// The operator's key in this tab's `sessionStorage`, only if the operator chose so at sign-in: a reload then keeps the
// session. The browser deletes it with the tab; signing out deletes it too.

const NAME = "isha-console-key";

/** @returns null if none is stored, or if the browser blocks storage */
export function storedKey(): string | null {
  try {
    return sessionStorage.getItem(NAME);
  } catch {
    return null;
  }
}

export function storeKey(key: string): void {
  try {
    sessionStorage.setItem(NAME, key);
  } catch {
    // The browser blocks storage: a reload discards the session, as without the choice.
  }
}

export function forgetKey(): void {
  try {
    sessionStorage.removeItem(NAME);
  } catch {
    // The browser blocks storage: there is nothing to delete.
  }
}
