// Posts alarms to ALERT_WEBHOOK_URL: to ntfy, a chat's incoming webhook or a program. Each post is tried once and its
// outcome returned; the response body isn't read.
import type { AlarmMessage } from "./conditions.ts";

interface AlertMessage {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

type Message = Pick<AlarmMessage, "id" | "state" | "text" | "advice" | "since"> & { readonly kind: string };

/** The message that `POST /admin/alerts/test` sends. */
export const TEST_MESSAGE: Message = {
  id: "test",
  kind: "test",
  state: "raised",
  text: "This is a test: alarms of the fleet reach you here.",
  advice: "No action needed.",
  since: 0,
};

/**
 * ntfy takes plain text with its title and priority in headers (docs.ntfy.sh/publish). Everything else gets JSON:
 * Slack and Mattermost show `text`, Discord shows `content`, programs read the rest.
 */
export function alertMessage(url: string, message: Message): AlertMessage {
  const recovered = message.state === "recovered";
  const title = recovered ? "isha: recovered" : "isha: alarm";
  const text = recovered ? `Recovered: ${message.text}` : `${message.text} ${message.advice}`;
  if (isNtfy(url)) {
    return {
      url,
      headers: {
        "content-type": "text/plain; charset=utf-8",
        title,
        priority: recovered ? "default" : "high",
        tags: recovered ? "white_check_mark" : "rotating_light",
      },
      body: text,
    };
  }
  const { id, kind, state, advice, since } = message;
  const fields = {
    text,
    content: text,
    title,
    alarm: id,
    kind,
    state,
    advice,
    since: new Date(since).toISOString(),
  };
  return { url, headers: { "content-type": "application/json" }, body: JSON.stringify(fields) };
}

/** Time limit for the receiver: less than the ten seconds that `isha alerts test` waits for our answer. */
const POST_TIMEOUT_MS = 8_000;

/** `unset`: no URL is configured. */
export type Posted = "delivered" | "failed" | "unset";

export async function postAlert(url: string | undefined, message: Message): Promise<Posted> {
  if (url === undefined || url === "") return "unset";
  const late = new AbortController();
  // AbortSignal.timeout can't be cancelled, and an object with a timer doesn't hibernate.
  const timer = setTimeout(() => late.abort(), POST_TIMEOUT_MS);
  try {
    const { headers, body } = alertMessage(url, message);
    const options = { method: "POST", headers, body, signal: late.signal, redirect: "manual" } as const;
    const answer = await fetch(url, options);
    await answer.body?.cancel();
    return answer.ok ? "delivered" : "failed";
  } catch {
    // The name has no address, the connection is refused, or the receiver is too slow.
    return "failed";
  } finally {
    clearTimeout(timer);
  }
}

function isNtfy(url: string): boolean {
  return new URL(url).hostname.split(".")[0] === "ntfy";
}
