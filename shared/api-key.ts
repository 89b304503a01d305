// Formats and parses API keys, `isha_<id>_<secret><check>`. The check characters reveal a mistyped or truncated key
// without a lookup; they protect no secret.

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** 32 random bytes in base62: ⌈256 / log2 62⌉ characters. */
const SECRET_LENGTH = 43;

/** 32 bits of CRC in base62. */
const CHECK_LENGTH = 6;

const SHAPE = new RegExp(
  `^isha_([0-9A-Za-z]{8,32})_([0-9A-Za-z]{${SECRET_LENGTH}})([0-9A-Za-z]{${CHECK_LENGTH}})$`,
);

/** 72 random bits in base62, so that no two keys get the same id. */
const ID_LENGTH = 12;

/** Random bytes in an id. */
export const KEY_ID_BYTES = 9;

/** Random bytes in a secret. */
export const KEY_SECRET_BYTES = 32;

/** A new key's id. @param random `KEY_ID_BYTES` random bytes */
export function newKeyId(random: Uint8Array): string {
  return toBase62(numberOf(random), ID_LENGTH);
}

/** The key's id, which names its object; null if the text isn't one of our keys or was mistyped. */
export function apiKeyId(key: string): string | null {
  const [, id, secret, check] = SHAPE.exec(key) ?? [];
  if (id === undefined || secret === undefined) return null;
  return checkCharacters(`isha_${id}_${secret}`) === check ? id : null;
}

/**
 * Formats a key.
 * @param id 8 to 32 base62 characters
 * @param secret `KEY_SECRET_BYTES` random bytes
 */
export function formatApiKey(id: string, secret: Uint8Array): string {
  const body = `isha_${id}_${toBase62(numberOf(secret), SECRET_LENGTH)}`;
  return body + checkCharacters(body);
}

function numberOf(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

function checkCharacters(text: string): string {
  return toBase62(BigInt(crc32(text)), CHECK_LENGTH);
}

function toBase62(value: bigint, length: number): string {
  let rest = value;
  let text = "";
  for (let index = 0; index < length; index += 1) {
    text = (BASE62[Number(rest % 62n)] ?? "") + text;
    rest /= 62n;
  }
  return text;
}

/** CRC-32 (ISO-HDLC, the polynomial of zip and PNG) of an ASCII text. */
function crc32(text: string): number {
  let crc = 0xffffffff;
  for (let index = 0; index < text.length; index += 1) {
    crc ^= text.charCodeAt(index);
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return (crc ^ 0xffffffff) >>> 0;
}
