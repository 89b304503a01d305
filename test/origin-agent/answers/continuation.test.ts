// Checks that a chat finished by another server reads as if it had never broken, for every place at which it can break.
import { describe, expect, test } from "vitest";
import { ChatRecorder } from "../../../origin-agent/answers/recorder.ts";
import {
  closingEvents,
  ContinuedEvents,
  continuationRequest,
} from "../../../origin-agent/answers/continuation.ts";
import { eventData } from "../../../origin-agent/answers/sse.ts";
import { SeededRandom } from "../../support/seeded-random.ts";

const MESSAGES = [{ role: "user", content: "Patient complaint: chest pain" }];
const PIECES = [
  " Rest",
  ", 1–2 litres",
  ' of "water"',
  " \\ and",
  "\n",
  "é",
  " 👩‍⚕️",
  "",
  " ≥ 94 %",
  "\u0007",
  '}}],"created"',
  " end.",
];
const MAX_BYTES = 256 * 1024;

type Event = Record<string, unknown> & {
  readonly id?: string;
  readonly choices: readonly {
    readonly delta: { readonly role?: string; readonly content?: string | null };
    readonly finish_reason: string | null;
  }[];
  readonly usage?: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly total_tokens: number;
  };
};

/** A stream in llama-server's form (transcript `chat-stream-usage`). */
function stream(
  id: string,
  pieces: readonly string[],
  counts: { readonly prompt: number; readonly completion: number },
): Buffer[] {
  const tail = {
    created: id === "chatcmpl-first" ? 1 : 2,
    id,
    model: "m.gguf",
    object: "chat.completion.chunk",
  };
  const write = (event: object): Buffer => Buffer.from(`data: ${JSON.stringify({ ...event, ...tail })}\n\n`);
  const choice = (delta: object, finish: string | null): object => ({
    choices: [{ finish_reason: finish, index: 0, delta }],
  });
  const usage = {
    completion_tokens: counts.completion,
    prompt_tokens: counts.prompt,
    total_tokens: counts.prompt + counts.completion,
  };
  return [
    write(choice({ role: "assistant", content: null }, null)),
    ...pieces.map((content) => write(choice({ content }, null))),
    write(choice({}, "stop")),
    write({ choices: [], usage }),
    Buffer.from("data: [DONE]\n\n"),
  ];
}

/** The echo as in transcript `chat-prefill-stream`: joined to the first new piece. */
function echoed(echo: string, pieces: readonly string[]): string[] {
  const [first = "", ...rest] = pieces;
  return [echo + first, ...rest];
}

function textOf(events: readonly (Event | "[DONE]")[]): string {
  return events.map((event) => (event === "[DONE]" ? "" : (event.choices[0]?.delta.content ?? ""))).join("");
}

function read(bytes: readonly Buffer[]): (Event | "[DONE]")[] {
  return eventData(Buffer.concat(bytes)).map((data) =>
    data === "[DONE]" ? "[DONE]" : (JSON.parse(data) as Event),
  );
}

function randomPieces(random: SeededRandom): string[] {
  return Array.from(
    { length: 1 + Math.floor(random.next() * 30) },
    () => PIECES[Math.floor(random.next() * PIECES.length)] ?? "",
  );
}

describe("an answer that broke", () => {
  test.each([1, 2, 3, 4, 5])(
    "reads as if it had not broken, wherever and however often it broke (seed %i)",
    (seed) => {
      const random = new SeededRandom(seed);
      for (let round = 0; round < 200; round += 1) {
        const pieces = randomPieces(random);
        const prefill = random.chance(0.3) ? "My own beginning: " : "";
        const body = Buffer.from(
          JSON.stringify({
            messages: prefill === "" ? MESSAGES : [...MESSAGES, { role: "assistant", content: prefill }],
            stream: true,
          }),
        );
        const recorder = new ChatRecorder(MAX_BYTES);
        const sent: Buffer[] = [];
        // The first server echoes the client's own prefill.
        let rest = prefill === "" ? pieces : echoed(prefill, pieces);
        let source = stream("chatcmpl-first", rest, { prompt: 20, completion: pieces.length });
        let continued: ContinuedEvents | null = null;
        let breaks = Math.floor(random.next() * 3);
        for (;;) {
          const broken = breaks > 0;
          const upTo = broken ? Math.floor(random.next() * (rest.length + 2)) : source.length;
          for (const event of source.slice(0, upTo)) {
            const passed: Buffer | null = continued === null ? event : continued.push(event);
            expect(passed).not.toBeNull();
            if (passed === null || passed.length === 0) continue;
            recorder.push(passed);
            sent.push(passed);
          }
          if (!broken) break;
          breaks -= 1;
          const text = recorder.text();
          const identity = recorder.identity;
          if (identity === null) continue;
          const request = continuationRequest(body, text);
          expect(request).not.toBeNull();
          if (request === null) return;
          const whole = prefill + pieces.join("");
          expect(whole.startsWith(request.echo)).toBe(true);
          const left = whole.slice(request.echo.length);
          rest = echoed(
            request.echo,
            left === "" ? [""] : [...left.matchAll(/[^]{1,7}/gu)].map(([piece]) => piece),
          );
          const tokens = 3;
          source = stream("chatcmpl-next", rest, { prompt: 20 + tokens, completion: 9 });
          continued = new ContinuedEvents({ identity, text, tokens: text === "" ? 0 : tokens }, request.echo);
        }
        const events = read(sent);
        const objects = events.filter((event) => event !== "[DONE]");
        expect(textOf(events)).toBe(prefill + pieces.join(""));
        expect(events.filter((event) => event === "[DONE]")).toHaveLength(1);
        expect(events.at(-1)).toBe("[DONE]");
        expect(new Set(objects.map((event) => event.id))).toEqual(new Set(["chatcmpl-first"]));
        expect(objects.filter((event) => event.choices[0]?.delta.role !== undefined)).toHaveLength(1);
        expect(objects.filter((event) => event.choices[0]?.finish_reason === "stop")).toHaveLength(1);
        const usage = objects.at(-1)?.usage;
        expect(usage?.total_tokens).toBe((usage?.prompt_tokens ?? 0) + (usage?.completion_tokens ?? 0));
      }
    },
  );

  test("counts both parts, and the first part's tokens as answer, not as prompt", () => {
    const continued = new ContinuedEvents(
      { identity: { id: "a", created: 1, model: "m" }, text: "ab", tokens: 2 },
      "ab",
    );
    const bytes = stream("chatcmpl-next", ["abc", "d"], { prompt: 27, completion: 2 }).map(
      (event) => continued.push(event) ?? Buffer.alloc(0),
    );
    expect(read(bytes).at(-2)).toMatchObject({
      usage: { prompt_tokens: 25, completion_tokens: 4, total_tokens: 29 },
    });
  });

  test.each([
    ["an echo that changes the text", ["My Text", "more"]],
    [
      "an echo with an added newline",
      ["My text\n so", "x"].map((piece, at) => (at === 0 ? "\nMy text" : piece)),
    ],
    ["no echo at all", [" and on it goes, long enough"]],
    ["an end inside the echo", ["My "]],
  ])("is given up on %s", (_, pieces) => {
    const continued = new ContinuedEvents(
      { identity: { id: "a", created: 1, model: "m" }, text: "My text", tokens: 2 },
      "My text",
    );
    const results = stream("chatcmpl-next", pieces, { prompt: 1, completion: 1 }).map((event) =>
      continued.push(event),
    );
    expect(results).toContain(null);
  });

  test.each([{ reasoning_content: "hm" }, { tool_calls: [{}] }])(
    "is given up if the next server sends %j",
    (delta) => {
      const continued = new ContinuedEvents(
        { identity: { id: "a", created: 1, model: "m" }, text: "x", tokens: 1 },
        "x",
      );
      expect(
        continued.push(
          Buffer.from(`data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: null }] })}\n\n`),
        ),
      ).toBeNull();
    },
  );

  test("with its whole text is closed without another server", () => {
    const first = { identity: { id: "a", created: 1, model: "m" }, text: "ab", tokens: 2 };
    const capped = read([closingEvents(first, null, { promptTokens: 5 })]);
    expect(capped).toMatchObject([
      { id: "a", choices: [{ finish_reason: "length" }] },
      { usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 } },
      "[DONE]",
    ]);
    expect(read([closingEvents(first, "stop", null)])).toEqual(["[DONE]"]);
  });
});

describe("a body that can't be continued", () => {
  test.each([
    "not json",
    "[]",
    "{}",
    '{"messages":"x"}',
    '{"messages":[{"role":"assistant","content":[{"type":"text","text":"a"}]}]}',
  ])("%s", (body) => {
    expect(continuationRequest(Buffer.from(body), "text")).toBeNull();
  });

  test("is one whose prefill is not the beginning of the answer", () => {
    expect(
      continuationRequest(Buffer.from('{"messages":[{"role":"assistant","content":"other"}]}'), "text"),
    ).toBeNull();
  });
});
