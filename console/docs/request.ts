// The request that a form of the reference describes: path, query and body. Pure.

export interface Field {
  readonly name: string;
  readonly in: string;
  readonly value: string;
}

/** The URL of a path such as `/v1/models/{id}`, with its fields filled in; empty ones of the query are left out. */
export function urlOf(path: string, fields: readonly Field[]): string {
  let filled = path;
  const query = new URLSearchParams();
  for (const { name, in: place, value } of fields) {
    if (place === "path") filled = filled.replace(`{${name}}`, encodeURIComponent(value));
    else if (place === "query" && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return text === "" ? filled : `${filled}?${text}`;
}

/** Why a body can't be sent; null if it can. */
export function bodyFault(body: string): string | null {
  try {
    JSON.parse(body);
    return null;
  } catch (error) {
    return `The body isn't valid JSON: ${error instanceof Error ? error.message : "unknown fault"}`;
  }
}

/** Whether a key fits in a header: copying may have added other characters. */
export function isSendable(key: string): boolean {
  return /^[\x21-\x7e]{1,512}$/.test(key);
}
