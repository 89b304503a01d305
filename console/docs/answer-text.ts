// Finds the text in the answers of each dialect: complete JSON answers and the events of streams. Pure.

/** The text that one event adds; empty if it adds none. */
export function eventText(data: string): string {
  return deltaText(jsonOrNull(data));
}

/** The text of a complete answer; empty if it has none, as an error. */
export function completeText(body: string): string {
  const value = jsonOrNull(body);
  const [choice] = listAt(value, "choices");
  const parts = [
    ...listAt(value, "content"),
    ...listAt(value, "output").flatMap((item) => listAt(item, "content")),
  ];
  return (
    textAt(choice, "text") ||
    textAt(at(choice, "message"), "content") ||
    parts.map((part) => textAt(part, "text")).join("")
  );
}

/** Chat and completions, then the Responses API, then Anthropic's events. */
function deltaText(value: unknown): string {
  const [choice] = listAt(value, "choices");
  return (
    textAt(choice, "text") ||
    textAt(at(choice, "delta"), "content") ||
    (at(value, "type") === "response.output_text.delta" ? textAt(value, "delta") : "") ||
    textAt(at(value, "delta"), "text")
  );
}

function at(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function textAt(value: unknown, name: string): string {
  const found = at(value, name);
  return typeof found === "string" ? found : "";
}

function listAt(value: unknown, name: string): readonly unknown[] {
  const found = at(value, name);
  return Array.isArray(found) ? found : [];
}

function jsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
