// An alarm as a message to whatever listens at ALERT_WEBHOOK_URL: ntfy, a chat's incoming webhook, a program. Pure.
import type { AlarmNews } from "./conditions.ts";

export interface AlertMessage {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

type News = Pick<AlarmNews, "id" | "state" | "text" | "advice" | "since"> & { readonly kind: string };

/** What `POST /admin/alerts/test` sends. */
export const TEST_NEWS: News = {
  id: "test",
  kind: "test",
  state: "raised",
  text: "This is a test: alarms of the fleet reach you here.",
  advice: "Nothing is to be done.",
  since: 0,
};

/**
 * ntfy takes plain text with its title and priority in headers (docs.ntfy.sh/publish). Everything else gets JSON:
 * Slack and Mattermost show `text`, Discord shows `content`, programs read the rest.
 */
export function alertMessage(url: string, news: News): AlertMessage {
  const over = news.state === "recovered";
  const title = over ? "isha: over" : "isha: alarm";
  const text = over ? `Over: ${news.text}` : `${news.text} ${news.advice}`;
  if (isNtfy(url)) {
    return {
      url,
      headers: {
        "content-type": "text/plain; charset=utf-8",
        title,
        priority: over ? "default" : "high",
        tags: over ? "white_check_mark" : "rotating_light",
      },
      body: text,
    };
  }
  const { id, kind, state, advice, since } = news;
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

function isNtfy(url: string): boolean {
  return new URL(url).hostname.split(".")[0] === "ntfy";
}
