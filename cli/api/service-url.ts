// The service's address. Pure: it checks the address and sends nothing.
import { invalid, type Parsed } from "../options/values.ts";

/** The address in the form that fetch takes. */
export function parseServiceUrl(text: string): Parsed<string> {
  const url = URL.parse(text.trim());
  if (url === null || !/^https?:$/.test(url.protocol)) {
    return invalid("it must be an address such as https://example.com");
  }
  if (url.username !== "" || url.password !== "") return invalid("it contains a user name or a password");
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    return invalid(`it must end after the host: ${url.origin}`);
  }
  if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    return invalid("the admin key would be sent unencrypted; use https://");
  }
  return { ok: true, value: url.origin };
}

/** Whether a URL's host is this machine: only there http:// is safe and development keys work. */
export function isLoopback(hostname: string): boolean {
  return /^(?:127\.\d+\.\d+\.\d+|\[::1\]|(?:.+\.)?localhost)$/.test(hostname);
}
