// Posts an alarm to ALERT_WEBHOOK_URL, once, and says what came of it. Nothing of an answer is read.
import { alertMessage } from "./alert-message.ts";

/** How long whoever listens may take, milliseconds. */
const POST_TIMEOUT_MS = 10_000;

/** `unset`: there is nobody to tell. */
export type Posted = "delivered" | "failed" | "unset";

export async function postAlert(
  url: string | undefined,
  news: Parameters<typeof alertMessage>[1],
): Promise<Posted> {
  if (url === undefined || url === "") return "unset";
  try {
    const { headers, body } = alertMessage(url, news);
    const signal = AbortSignal.timeout(POST_TIMEOUT_MS);
    const answer = await fetch(url, { method: "POST", headers, body, signal, redirect: "manual" });
    await answer.body?.cancel();
    return answer.ok ? "delivered" : "failed";
  } catch {
    // No address, nobody there, or too slow.
    return "failed";
  }
}
