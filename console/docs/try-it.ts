// Sends the request of one form of the reference and shows the answer as it arrives. Key, body and answer are kept only in
// the page.
import { EventReader } from "../api/sse.ts";
import { completeText, eventText } from "./answer-text.ts";
import { bodyFault, isSendable, urlOf } from "./request.ts";

/** The most characters of an answer that the page shows. */
const MAX_SHOWN = 256 * 1024;

/** @param key returns what the reader has entered */
export function wireForm(form: HTMLFormElement, key: () => string): void {
  const view = viewOf(form);
  let running: AbortController | null = null;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    running?.abort();
    const current = new AbortController();
    running = current;
    void send(form, key(), current.signal, view);
  });
  view.stop.addEventListener("click", () => running?.abort());
}

/** The parts of a form that show the answer. */
interface View {
  readonly send: HTMLButtonElement;
  readonly stop: HTMLButtonElement;
  readonly result: HTMLElement;
  readonly status: HTMLElement;
  readonly text: HTMLElement;
  readonly headers: HTMLElement;
  readonly body: HTMLElement;
}

function viewOf(form: HTMLFormElement): View {
  const find = <T extends HTMLElement>(selector: string): T => {
    const found = form.querySelector<T>(selector);
    if (found === null) throw new Error(`the form has no ${selector}`);
    return found;
  };
  return {
    send: find("[type=submit]"),
    stop: find("[data-stop]"),
    result: find(".result"),
    status: find(".status"),
    text: find(".text"),
    headers: find(".headers"),
    body: find(".body"),
  };
}

async function send(form: HTMLFormElement, key: string, signal: AbortSignal, view: View): Promise<void> {
  const body = form.querySelector("textarea")?.value;
  const fault = body === undefined ? null : bodyFault(body);
  reset(view);
  if (fault !== null) return show(view.status, fault);
  if (key !== "" && !isSendable(key)) return show(view.status, "The key has characters that no key has.");
  const startedAt = performance.now();
  const seconds = (): string => `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
  setBusy(view, true);
  show(view.status, "Waiting for the answer…");
  try {
    const response = await fetch(urlOf(form.dataset["path"] ?? "", fieldsOf(form)), {
      method: form.dataset["method"] ?? "GET",
      signal,
      credentials: "omit",
      cache: "no-store",
      headers: {
        ...(key === "" ? {} : { authorization: `Bearer ${key}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body }),
    });
    const line = `${response.status} ${response.statusText}`.trim();
    show(view.headers, [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n"));
    show(view.status, `${line}, receiving…`);
    await showBody(response, view);
    show(view.status, `${line}, ${seconds()}`);
  } catch {
    if (signal.aborted) show(view.status, `Stopped by you after ${seconds()}.`);
    else show(view.status, "The service can't be reached, or the connection broke.");
  } finally {
    setBusy(view, false);
  }
}

async function showBody(response: Response, view: View): Promise<void> {
  if (response.body === null) return;
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") === true;
  const events = new EventReader();
  const decoder = new TextDecoder();
  let received = "";
  const reader = response.body.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    received += decoder.decode(next.value, { stream: true });
    if (received.length > MAX_SHOWN) {
      await reader.cancel();
      return show(view.status, "The answer is too long to be shown.");
    }
    if (!isStream) continue;
    append(view.body, received.slice(view.body.textContent.length));
    for (const { data } of events.push(next.value)) append(view.text, eventText(data));
  }
  if (isStream) return;
  append(view.body, indented(received));
  append(view.text, completeText(received));
}

/** Adds to what is shown without rewriting it: a reader may have selected a part. */
function append(element: HTMLElement, text: string): void {
  if (text === "") return;
  element.append(text);
  element.hidden = false;
}

function show(element: HTMLElement, text: string): void {
  element.textContent = text;
}

function reset({ result, text, headers, body }: View): void {
  result.hidden = false;
  for (const part of [text, headers, body]) part.textContent = "";
  text.hidden = true;
}

function setBusy({ send, stop }: View, busy: boolean): void {
  send.disabled = busy;
  stop.disabled = !busy;
}

function fieldsOf(form: HTMLFormElement) {
  return [...form.querySelectorAll<HTMLInputElement>("input[data-in]")].map((input) => ({
    name: input.name,
    in: input.dataset["in"] ?? "",
    value: input.value,
  }));
}

function indented(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
