// Finds secrets and prompts' canaries in a report before it leaves the machine. It returns where one is, never the value.
// Pure.

/** Shorter values would be found in any text. */
const MIN_SECRET_LENGTH = 8;

/** By form: keys of ours, of other services, tokens in headers, private keys, and the words that `isha doctor` plants. */
const FORMS: readonly (readonly [what: string, form: RegExp])[] = [
  ["an API key", /\bisha_[0-9A-Za-z]{8,32}_[0-9A-Za-z]{20,}/],
  ["a token of a header", /\b(?:bearer|basic)\s+[\w+/=.-]{16,}/i],
  ["an Access token", /\bcfast_[\w-]{8,}|\b[0-9a-f]{32}\.access\b/],
  ["a key of another service", /\b(?:sk|ghp|xox[abp])[-_][\w-]{16,}/],
  ["a web token", /\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*/],
  ["a private key", /-----BEGIN [A-Z ]*PRIVATE KEY-----/],
  ["a prompt that isha doctor sent", /\bcanary[0-9a-f]{16}\b/],
];

export interface Secret {
  /** Where it is kept, for the operator. */
  readonly name: string;
  readonly value: string;
}

/**
 * The places of secrets in a value of JSON, as `agentLog[3].cause: BOX_SECRET`.
 * @param secrets those of this machine
 */
export function findSecrets(value: unknown, secrets: readonly Secret[], path = ""): string[] {
  if (typeof value === "string") return found(value, secrets).map((what) => `${path}: ${what}`);
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => {
    const at = Array.isArray(value) ? `${path}[${name}]` : path === "" ? name : `${path}.${name}`;
    // A name may be a secret too, and must then not be shown.
    const inName = Array.isArray(value)
      ? []
      : found(name, secrets).map((what) => `${path}: ${what}, as a name`);
    return inName.length > 0 ? inName : findSecrets(member, secrets, at);
  });
}

function found(text: string, secrets: readonly Secret[]): string[] {
  const known = secrets
    .filter(({ value }) => value.length >= MIN_SECRET_LENGTH && text.includes(value))
    .map(({ name }) => name);
  return known.length > 0 ? known : FORMS.filter(([, form]) => form.test(text)).map(([what]) => what);
}
