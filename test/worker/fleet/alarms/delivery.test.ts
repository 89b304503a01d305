// An alarm as a message: in the form that the receiver expects, complete with the runbook's line, posted once.
import { describe, expect, it } from "vitest";
import { adviceOf, type AlarmKind } from "../../../../worker/fleet/alarms/advice.ts";
import { ALARM_AFTER_MS, type AlarmMessage } from "../../../../worker/fleet/alarms/conditions.ts";
import { alertMessage, postAlert, TEST_MESSAGE } from "../../../../worker/fleet/alarms/delivery.ts";
import { fakeFetch } from "../../support/origin.ts";

const SINCE = Date.parse("2026-11-23T03:00:00Z");
const SUBJECT = { box: "north", port: 9001, process: "llama-9001", failedRequest: null };
const ADVICE = adviceOf("heat", SUBJECT);
const RAISED: AlarmMessage = {
  id: "heat:north",
  kind: "heat",
  state: "raised",
  text: "A card of north is at 95 °C.",
  advice: ADVICE,
  since: SINCE,
};
const RECOVERED: AlarmMessage = { ...RAISED, state: "recovered" };
const HOOK = "https://hooks.example/T0/B0/x?token=y";

describe("to a chat's webhook or a program", () => {
  it("it is JSON: what a chat shows, and every field for a program", () => {
    const { url, headers, body } = alertMessage(HOOK, RAISED);
    expect({ url, headers }).toEqual({ url: HOOK, headers: { "content-type": "application/json" } });
    const shown = `A card of north is at 95 °C. ${ADVICE}`;
    expect(JSON.parse(body)).toEqual({
      text: shown,
      content: shown,
      title: "isha: alarm",
      alarm: "heat:north",
      kind: "heat",
      state: "raised",
      advice: ADVICE,
      since: "2026-11-23T03:00:00.000Z",
    });
  });

  it("a recovery is labelled, and has no advice", () => {
    const { text, content, title, state } = JSON.parse(alertMessage(HOOK, RECOVERED).body) as Record<
      string,
      string
    >;
    expect({ text, content, title, state }).toEqual({
      text: "Recovered: A card of north is at 95 °C.",
      content: "Recovered: A card of north is at 95 °C.",
      title: "isha: recovered",
      state: "recovered",
    });
  });

  it.each(Object.keys(ALARM_AFTER_MS) as AlarmKind[])("fits into Discord's 2,000 characters: %s", (kind) => {
    const text = `65535 (${"M".repeat(128)}) on ${"n".repeat(128)} is slow: ${"w".repeat(200)}.`;
    const long = { ...SUBJECT, box: "n".repeat(128), process: "p".repeat(128) };
    const advice = adviceOf(kind, long);
    const message = { ...RAISED, kind, text, advice };
    const { content } = JSON.parse(alertMessage(HOOK, message).body) as { content: string };
    expect(content).toContain(advice);
    expect(content.length).toBeLessThan(2_000);
  });
});

describe("to ntfy", () => {
  it.each(["https://ntfy.sh/topic", "https://ntfy.example.org/topic", "http://ntfy:8080/topic"])(
    "%s it is plain text with title, priority and tags in headers",
    (url) => {
      expect(alertMessage(url, RAISED)).toEqual({
        url,
        headers: {
          "content-type": "text/plain; charset=utf-8",
          title: "isha: alarm",
          priority: "high",
          tags: "rotating_light",
        },
        body: `A card of north is at 95 °C. ${ADVICE}`,
      });
    },
  );

  it("a recovery has default priority", () => {
    const { headers, body } = alertMessage("https://ntfy.sh/topic", RECOVERED);
    expect(headers).toMatchObject({
      title: "isha: recovered",
      priority: "default",
      tags: "white_check_mark",
    });
    expect(body).toBe("Recovered: A card of north is at 95 °C.");
  });

  it.each(["https://my-ntfy.example/topic", "https://example.org/ntfy", "https://hooks.ntfy.example/x"])(
    "is not assumed for a similar host: %s",
    (url) => {
      expect(alertMessage(url, RAISED).headers).toEqual({ "content-type": "application/json" });
    },
  );
});

it("headers are ASCII whatever the alarm's text is, so no fetch throws on them", () => {
  for (const url of [HOOK, "https://ntfy.sh/topic"]) {
    const { headers } = alertMessage(url, { ...RAISED, text: "語\r\nx: y" });
    expect(Object.values(headers).join("")).toMatch(/^[\x20-\x7e]*$/);
    expect(() => new Headers(headers)).not.toThrow();
  }
});

describe("a post", () => {
  it("is sent once, follows no redirect, and is delivered by any 2xx", async () => {
    const sent = fakeFetch(() => new Response("ok", { status: 202 }));
    expect(await postAlert(HOOK, RAISED)).toBe("delivered");
    expect(sent).toHaveLength(1);
    expect(sent[0]).toMatchObject({ method: "POST", redirect: "manual" });
    expect(sent[0]?.url.href).toBe(HOOK);
    expect(new TextDecoder().decode(sent[0]?.bytes)).toBe(alertMessage(HOOK, RAISED).body);
  });

  it.each([302, 400, 404, 429, 500])("with the answer %i has failed", async (status) => {
    fakeFetch(() => new Response(null, { status }));
    expect(await postAlert(HOOK, RAISED)).toBe("failed");
  });

  it("to no URL, to an invalid one, or to one that doesn't answer, throws nothing", async () => {
    const sent = fakeFetch(() => {
      throw new TypeError("connection refused");
    });
    expect(await postAlert(HOOK, TEST_MESSAGE)).toBe("failed");
    expect(await postAlert("not a URL", TEST_MESSAGE)).toBe("failed");
    expect(sent).toHaveLength(1);
    expect([await postAlert(undefined, TEST_MESSAGE), await postAlert("", TEST_MESSAGE)]).toEqual([
      "unset",
      "unset",
    ]);
  });
});
