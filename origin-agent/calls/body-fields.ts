// Sets fields of a JSON body without parsing it: writes them just before the closing brace. llama-server uses the last
// of two equal keys (transcript `isolation-duplicate-key`).

const SPACE = new Set([0x20, 0x09, 0x0a, 0x0d]);
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/**
 * Returns the body with `fields` written last.
 * @returns null if the bytes don't end like a JSON object; the edge checks this, so it didn't send them.
 */
export function spliceFields(body: Buffer, fields: Readonly<Record<string, unknown>>): Buffer | null {
  const close = lastNonSpace(body, body.length - 1);
  if (close < 1 || body[close] !== CLOSE_BRACE) return null;
  const before = lastNonSpace(body, close - 1);
  if (before < 0) return null;
  const written = JSON.stringify(fields);
  if (written === "{}") return body;
  // An empty object needs no comma. A nested empty object ends with "}", so it isn't mistaken for one.
  const comma = body[before] === OPEN_BRACE ? "" : ",";
  const end = `${comma}${written.slice(1)}`;
  const spliced = Buffer.allocUnsafe(close + Buffer.byteLength(end));
  body.copy(spliced, 0, 0, close);
  spliced.write(end, close);
  return spliced;
}

function lastNonSpace(body: Buffer, from: number): number {
  let index = from;
  while (index >= 0 && SPACE.has(body[index] ?? 0)) index -= 1;
  return index;
}
