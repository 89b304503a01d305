// The examples of the guide as text, for a fleet. A test runs them against the stack: the key is in $ISHA_KEY.
import type { ExampleNames } from "../openapi/call-examples.ts";
import { ORIGIN } from "./parts.ts";

export interface Snippet {
  readonly title: string;
  readonly language: "sh" | "ts" | "python";
  /** The route that it uses. */
  readonly path: string;
  readonly text: string;
}

const QUESTION = { role: "user", content: "Patient complaint: chest pain" };

export function curlOf(path: string, body: object, flags = ""): string {
  return [
    `curl ${flags}${ORIGIN}${path} \\`,
    `  -H "Authorization: Bearer $ISHA_KEY" -H "Content-Type: application/json" \\`,
    `  -d '${JSON.stringify(body)}'`,
  ].join("\n");
}

export const byAgent = ({ agent }: ExampleNames): string =>
  curlOf("/v1/chat/completions", { agent_type: agent, messages: [QUESTION] });

export const byPort = ({ agent, port }: ExampleNames): string =>
  curlOf("/v1/chat/completions", { agent_type: agent, model_port: port, messages: [QUESTION] });

export const byModel = ({ model }: ExampleNames): string =>
  curlOf("/v1/chat/completions", { model, messages: [QUESTION] });

export const streamed = ({ agent }: ExampleNames): string =>
  curlOf("/v1/chat/completions", { agent_type: agent, stream: true, messages: [QUESTION] }, "-N ");

/** The same call with each SDK. */
export function sdkSnippets({ agent }: ExampleNames): Snippet[] {
  const path = "/v1/chat/completions";
  return [
    {
      title: "OpenAI, TypeScript",
      language: "ts",
      path,
      text: `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${ORIGIN}/v1", apiKey: process.env["ISHA_KEY"] });
const stream = await client.chat.completions.create({
  model: "${agent}",
  messages: [{ role: "user", content: "Patient complaint: chest pain" }],
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? "");`,
    },
    {
      title: "OpenAI, Python",
      language: "python",
      path,
      text: `import os
from openai import OpenAI

client = OpenAI(base_url="${ORIGIN}/v1", api_key=os.environ["ISHA_KEY"])
stream = client.chat.completions.create(
    model="${agent}",
    messages=[{"role": "user", "content": "Patient complaint: chest pain"}],
    stream=True,
)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)`,
    },
    {
      title: "AI SDK",
      language: "ts",
      path,
      text: `import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { streamText } from "ai";

const isha = createOpenAICompatible({
  name: "isha",
  baseURL: "${ORIGIN}/v1",
  apiKey: process.env["ISHA_KEY"],
});
const { textStream } = streamText({ model: isha("${agent}"), prompt: "Patient complaint: chest pain" });
for await (const text of textStream) process.stdout.write(text);`,
    },
    {
      title: "Anthropic, TypeScript",
      language: "ts",
      path: "/v1/messages",
      text: `import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: "${ORIGIN}", apiKey: process.env["ISHA_KEY"] });
const stream = client.messages.stream({
  model: "${agent}",
  max_tokens: 200,
  messages: [{ role: "user", content: "Patient complaint: chest pain" }],
});
stream.on("text", (text) => process.stdout.write(text));
await stream.finalMessage();`,
    },
  ];
}
