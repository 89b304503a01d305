// Posts an alarm to ALERT_WEBHOOK_URL, once, and says what came of it. Nothing of an answer is read.
import { alertMessage } from "./message.ts";

/** How long whoever listens may take, milliseconds: less than the ten seconds that `isha alerts test` waits for us. */
const POST_TIMEOUT_MS = 8_000;

/** `unset`: there is nobody to tell. */
export type Posted = "delivered" | "failed" | "unset";

export async function postAlert(
  url: string | undefined,
  news: Parameters<typeof alertMessage>[1],
): Promise<Posted> {
  if (url === undefined || url === "") return "unset";
  const late = new AbortController();
  // AbortSignal.timeout can't be called off, and an object with a timer doesn't sleep.
  const timer = setTimeout(() => late.abort(), POST_TIMEOUT_MS);
  try {
    const { headers, body } = alertMessage(url, news);
    const options = { method: "POST", headers, body, signal: late.signal, redirect: "manual" } as const;
    const answer = await fetch(url, options);
    await answer.body?.cancel();
    return answer.ok ? "delivered" : "failed";
  } catch {
    // No address, nobody there, or too slow.
    return "failed";
  } finally {
    clearTimeout(timer);
  }
}
