// Where the service stands. Pure: the address is checked, not called.
import type { Reading } from "../options/option-values.ts";

/** The address as fetch takes it, or what is wrong with it. */
export function readServiceUrl(text: string): Reading<string> {
  const url = URL.parse(text.trim());
  if (url === null || !/^https?:$/.test(url.protocol)) {
    return wrong("it must be an address such as https://example.com");
  }
  if (url.username !== "" || url.password !== "") return wrong("it holds a user name or a password");
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    return wrong(`it must end after the host: ${url.origin}`);
  }
  if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    return wrong("the admin key would cross the network in the clear; use https://");
  }
  return { ok: true, value: url.origin };
}

const wrong = (why: string): Reading<string> => ({ ok: false, why });

/** Whether a URL's host is this machine: the one place http:// is fit for, and where development keys work. */
export function isLoopback(hostname: string): boolean {
  return /^(?:127\.\d+\.\d+\.\d+|\[::1\]|(?:.+\.)?localhost)$/.test(hostname);
}
