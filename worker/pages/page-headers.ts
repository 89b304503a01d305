// Response headers of the pages (console, guide, reference) and their files. A page may load only its own script and style
// and call only its own origin; it can't be framed, its forms can't be submitted elsewhere, and its base URL can't be changed.
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** A page is revalidated on each load; its files are named by their content. */
export const PAGE_HEADERS = {
  "content-security-policy": PAGE_POLICY,
  "cache-control": "no-cache",
  "cross-origin-opener-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
} as const;

/** A year: a file's name contains the hash of its content. */
export const FILE_HEADERS = { "cache-control": "public, max-age=31536000, immutable" } as const;

/** Tools on other sites may read the API's description, which is public. */
export const DOCUMENT_HEADERS = { "cache-control": "no-cache", "access-control-allow-origin": "*" } as const;
