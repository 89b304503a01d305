// The headers of answers, with their meanings: for the document and for the page.
import { ANSWER_HEADERS } from "../../../shared/call-headers.ts";
import { REQUEST_ID, type ExampleNames } from "./call-examples.ts";
import type { Schema } from "./types.ts";

interface HeaderRow {
  readonly description: string;
  readonly type: "string" | "integer";
  /** If it isn't a name of the fleet. */
  readonly example?: string | number;
}

export const HEADERS: Readonly<Record<string, HeaderRow>> = {
  "x-request-id": {
    description: "Our id of the request. Give it to the operator if a request fails.",
    type: "string",
    example: REQUEST_ID,
  },
  "x-client-request-id": {
    description: "Your own `x-request-id`, returned. It is never logged.",
    type: "string",
    example: "visit-4711",
  },
  "x-isha-box": { description: "The machine that answered.", type: "string" },
  "x-isha-port": { description: "The port of the server that answered.", type: "integer" },
  "x-isha-model": {
    description: "The file of the model that answered.",
    type: "string",
  },
  "x-isha-queue-ms": {
    description:
      "How long the call waited for its turn. Absent if the headers were sent before its turn came.",
    type: "integer",
    example: 0,
  },
  "x-isha-fallback-from": {
    description: "Present if another server than the requested one answered: the requested port.",
    type: "integer",
  },
  "x-isha-max-tokens": {
    description:
      "Present if the request asked for more tokens than the model allows: the limit that was applied.",
    type: "integer",
    example: 1024,
  },
  "x-isha-simulated": {
    description: "`1` if no real model answered, as on a developer's machine.",
    type: "string",
    example: "1",
  },
  "server-timing": {
    description: "Times in milliseconds, as browsers' developer tools show them.",
    type: "string",
    example: "queue;dur=0, upstream;dur=180",
  },
  "ratelimit-policy": {
    description:
      "The limits that the request was counted against: `q` requests in `w` seconds (IETF draft, structured fields).",
    type: "string",
    example: '"key";q=1000;w=1, "address";q=100;w=1',
  },
  ratelimit: {
    description: "What is left of them: `r` requests for the next `t` seconds.",
    type: "string",
    example: '"key";r=999;t=1, "address";r=99;t=1',
  },
  "x-ratelimit-limit-requests": {
    description: "Requests per second of the limit that is nearer to its end, as OpenAI's clients read it.",
    type: "integer",
    example: 100,
  },
  "x-ratelimit-remaining-requests": {
    description: "Requests that are left of it.",
    type: "integer",
    example: 99,
  },
  "x-ratelimit-reset-requests": {
    description: "Time until it starts again.",
    type: "string",
    example: "640ms",
  },
  "retry-after": {
    description: "After how many seconds a retry makes sense.",
    type: "integer",
    example: 2,
  },
  "retry-after-ms": {
    description: "The same in milliseconds. OpenAI's and Anthropic's SDKs prefer it.",
    type: "integer",
    example: 1500,
  },
  "x-should-retry": {
    description: "`false` if no retry can help. OpenAI's and Anthropic's SDKs obey it.",
    type: "string",
    example: "false",
  },
  warning: {
    description: "A notice for the client's developer: an old key, no key, or an unknown agent type.",
    type: "string",
    example: '299 - "This key is valid until 2027-01-31."',
  },
  "www-authenticate": {
    description: "With status 401: how to send a key.",
    type: "string",
    example: 'Bearer realm="isha"',
  },
};

/** The headers of HTTP itself; OpenAPI describes them by other means. */
const PLAIN = ["content-type", "content-length", "cache-control"];

/** Headers that only some refusals have. */
const RETRY = ["retry-after", "retry-after-ms", "x-should-retry"];

export const RATE = Object.keys(HEADERS).filter((name) => name.includes("ratelimit"));
export const EVERYWHERE = ["x-request-id", "x-client-request-id"];
export const ERROR_HEADERS = [...EVERYWHERE, ...RATE, ...RETRY];

/** Headers of a model's answer. */
export const CALL_HEADERS = [
  ...ANSWER_HEADERS.filter((name) => !PLAIN.includes(name) && !RETRY.includes(name)),
  "x-isha-max-tokens",
  "warning",
];

/** An example value of a header, with the names of a fleet. */
export function headerExample(name: string, { port, box, file }: ExampleNames): string | number {
  const named: Readonly<Record<string, string | number>> = {
    "x-isha-box": box,
    "x-isha-port": port,
    "x-isha-model": file,
    "x-isha-fallback-from": port,
  };
  return named[name] ?? HEADERS[name]?.example ?? "";
}

export function headerComponents(names: ExampleNames): Record<string, Schema> {
  return Object.fromEntries(
    Object.entries(HEADERS).map(([name, { description, type }]) => [
      name,
      { description, schema: { type }, example: headerExample(name, names) },
    ]),
  );
}

export function headerRefs(names: readonly string[]): Record<string, Schema> {
  return Object.fromEntries(
    [...new Set(names)].map((name) => [name, { $ref: `#/components/headers/${name}` }]),
  );
}
