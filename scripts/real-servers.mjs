// Finds programs that already listen on this machine's ports: real llama-servers that a stack can use, and an origin agent
// that a second one must not work beside. It only asks; it changes nothing.

const ANSWER_MS = 1_500;

/**
 * `locked`: it wants another API key than ours.
 * @typedef {"absent" | "usable" | "locked"} RealServer
 */

/**
 * @param {number} port
 * @param {string} apiKey
 * @returns {Promise<RealServer>}
 */
export async function realServerAt(port, apiKey) {
  const health = await ask(`http://127.0.0.1:${port}/health`, {});
  // One that loads its model answers too, with 503.
  if (health === null || !isLlamaHealth(health)) return "absent";
  // Health is open to all; the properties aren't.
  const properties = await ask(`http://127.0.0.1:${port}/props`, { authorization: `Bearer ${apiKey}` });
  return properties?.status === 401 ? "locked" : "usable";
}

/** The box whose agent answers there, or null. @param {number} port @returns {Promise<string | null>} */
export async function agentAt(port) {
  const answer = await ask(`http://127.0.0.1:${port}/healthz`, {});
  const box = answer?.json?.["box"];
  return typeof box === "string" ? box : null;
}

/** @param {{ status: number, json: Record<string, unknown> | null }} answer */
export function isLlamaHealth({ status, json }) {
  if (json === null) return false;
  return (status === 200 && json["status"] === "ok") || (status === 503 && "error" in json);
}

/**
 * @param {string} url
 * @param {Record<string, string>} headers
 * @returns {Promise<{ status: number, json: Record<string, unknown> | null } | null>}
 */
async function ask(url, headers) {
  try {
    const response = await fetch(url, {
      headers,
      redirect: "manual",
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const text = await response.text();
    return { status: response.status, json: parseObject(text) };
  } catch {
    return null;
  }
}

/** @param {string} text @returns {Record<string, unknown> | null} */
function parseObject(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : null;
  } catch {
    return null;
  }
}
