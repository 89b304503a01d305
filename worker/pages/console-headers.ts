// What the console's page and its files are served with. The page may load its own script and style, ask its own
// origin, and nothing else; what is in it can't be framed, navigated from a form or given another base.
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

/** The page names its files by their content, so it alone is asked for anew each time. */
export const PAGE_HEADERS = {
  "content-security-policy": PAGE_POLICY,
  "cache-control": "no-cache",
  "cross-origin-opener-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
} as const;

/** A year: a file's name is its content's hash. */
export const FILE_HEADERS = { "cache-control": "public, max-age=31536000, immutable" } as const;
