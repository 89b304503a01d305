// Sets fields of a JSON body without parsing it: they are written just before its closing brace, and
// llama-server takes the last of two equal keys (transcript `isolation-duplicate-key`).

const SPACE = new Set([0x20, 0x09, 0x0a, 0x0d]);
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/**
 * The body with `fields` written last.
 * @returns null where the bytes don't end as a JSON object does: whoever sent them wasn't the edge, which checks.
 */
export function spliceFields(body: Buffer, fields: Readonly<Record<string, unknown>>): Buffer | null {
  const close = lastMeaningful(body, body.length - 1);
  if (close < 1 || body[close] !== CLOSE_BRACE) return null;
  const before = lastMeaningful(body, close - 1);
  if (before < 0) return null;
  const written = JSON.stringify(fields);
  if (written === "{}") return body;
  // An object without a field wants no comma; a nested empty object ends in "}" and so is not taken for one.
  const comma = body[before] === OPEN_BRACE ? "" : ",";
  return Buffer.concat([body.subarray(0, close), Buffer.from(`${comma}${written.slice(1)}`)]);
}

function lastMeaningful(body: Buffer, from: number): number {
  let index = from;
  while (index >= 0 && SPACE.has(body[index] ?? 0)) index -= 1;
  return index;
}
