// Finds programs that already listen on this machine's ports: real llama-servers, which a stack can use, and an origin
// agent, alongside which a second one must not run. Sends only reads.

const ANSWER_MS = 1_500;

/** `locked`: it wants another API key than ours. */
type RealServer = "absent" | "usable" | "locked";

export async function realServerAt(port: number, apiKey: string): Promise<RealServer> {
  const health = await ask(`http://127.0.0.1:${port}/health`, {});
  // One that loads its model answers too, with 503.
  if (health === null || !isLlamaHealth(health)) return "absent";
  // Health is open to all; the properties aren't.
  const properties = await ask(`http://127.0.0.1:${port}/props`, { authorization: `Bearer ${apiKey}` });
  return properties?.status === 401 ? "locked" : "usable";
}

/** The box whose agent answers there, or null. */
export async function agentAt(port: number): Promise<string | null> {
  const answer = await ask(`http://127.0.0.1:${port}/healthz`, {});
  const box = answer?.json?.["box"];
  return typeof box === "string" ? box : null;
}

export function isLlamaHealth({ status, json }: { status: number; json: Record<string, unknown> | null }) {
  if (json === null) return false;
  return (status === 200 && json["status"] === "ok") || (status === 503 && "error" in json);
}

async function ask(
  url: string,
  headers: Record<string, string>,
): Promise<{ status: number; json: Record<string, unknown> | null } | null> {
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

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : null;
  } catch {
    return null;
  }
}
