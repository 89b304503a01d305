// The calls that are sent: the same bodies to floor and ours. 1.5 KB in; 1 KB out, or a stream of 100 events.

export interface Call {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Stands in the last bytes of a whole answer. */
  readonly endsWith: string;
}

/** `stream` and `mediczy` are streams: in OpenAI's format, and in Mediczy's own. */
export const KINDS = ["json", "stream", "mediczy"] as const;
export type Kind = (typeof KINDS)[number];

const PATH = "/v1/chat/completions";
const BODY_BYTES = 1536;
export const EVENTS = 100;
/** Beside its tokens a stream has the role's event, the finish, the usage and `[DONE]`. */
const FRAME_EVENTS = 4;
/** How a whole answer ends: the stream's last event; in a JSON answer something near its end. */
const DONE = "[DONE]";
const JSON_END = "}";

const CONVERSATION = [
  {
    role: "system",
    content: "You help a clinician. Answer in a few plain sentences, and say when you are unsure.",
  },
  { role: "user", content: "A patient of 54 has had chest pain on exertion for a week." },
  { role: "assistant", content: "How long does it last, and does it go to the arm, the jaw or the back?" },
];

/**
 * A call to the model on `port`.
 * @param tokens content events of a stream; as many as make 100 events if not given
 */
export function clientCall(kind: Kind, port: number, tokens = EVENTS - FRAME_EVENTS): Call {
  const streams = kind !== "json";
  const bodyWith = (text: string): string =>
    JSON.stringify({
      model_port: port,
      format: kind === "mediczy" ? "mediczy" : "openai",
      messages: [...CONVERSATION, { role: "user", content: text }],
      max_tokens: tokens,
      temperature: 0.2,
      top_p: 0.9,
      stream: streams,
      ...(streams ? { stream_options: { include_usage: true } } : {}),
    });
  const text = "It lasts some minutes and goes to the left arm; rest makes it better. ".repeat(30);
  return {
    path: PATH,
    headers: { "content-type": "application/json", authorization: "Bearer dev-key" },
    body: bodyWith(text.slice(0, BODY_BYTES - bodyWith("").length)),
    endsWith: streams ? DONE : JSON_END,
  };
}

/** The call with a body of this size: its last message is lengthened or shortened. */
export function withBodyBytes(call: Call, bytes: number): Call {
  const parsed = JSON.parse(call.body) as { messages: { content: string }[] };
  const last = parsed.messages.at(-1);
  if (last === undefined) throw new Error("a call has messages");
  const room = bytes - (call.body.length - last.content.length);
  last.content = last.content.repeat(Math.ceil(room / last.content.length)).slice(0, Math.max(room, 1));
  return { ...call, body: JSON.stringify(parsed) };
}

/** Headers that belong to a connection or a body's transfer: a retry writes its own. */
const HOP_HEADERS = new Set(["host", "connection", "content-length", "transfer-encoding", "accept-encoding"]);

/** The call as the edge sent it on: what an agent is measured with, without knowing their contract. */
export function sentOn(call: Call, headers: Readonly<Record<string, unknown>>): Call {
  const kept = Object.entries(headers).filter(([name]) => !HOP_HEADERS.has(name));
  return { ...call, headers: Object.fromEntries(kept.map(([name, value]) => [name, String(value)])) };
}
