// Parts of the guide that depend on the fleet file's limits, models and keys.
import { DEFAULT_AGENT, type FleetConfig } from "../../../shared/fleet.ts";
import { BODY_TIMEOUT_MS, CALL_DEADLINE_MS, MAX_STOP_STRINGS } from "../../../shared/limits.ts";
import { exampleNames } from "../openapi/call-examples.ts";
import { HEADERS, headerExample } from "../openapi/headers.ts";
import { table } from "./parts.ts";

export function keyText({ legacy: { anonymous } }: FleetConfig): string {
  const text = "Send the key that the operator gave you as `Authorization: Bearer …` or `x-api-key: …`.";
  return anonymous === null
    ? text
    : `${text} Calls without a key are accepted until ${anonymous.until}; their answers have a \`warning\` header.`;
}

export function modelTable(fleet: FleetConfig) {
  const servers = new Map(
    fleet.boxes.flatMap((box) => box.servers.map((server) => [server.port, server] as const)),
  );
  return table(
    ["Agent types", "Model", "Port", "Best for", "Context", "Longest answer"],
    [...servers.values()].map((server) => {
      const rest = server.port === fleet.defaultPort ? ["any other, or none"] : [];
      return [
        [...server.agents.map((agent) => `\`${agent}\``), ...rest].join(", "),
        server.model,
        String(server.port),
        server.bestFor,
        `${server.contextPerSlot} tokens`,
        `${server.maxTokens} tokens`,
      ];
    }),
  );
}

export function limitText({ limits, maxBodyKib }: FleetConfig): string {
  return [
    `A key may send ${limits.perKeyPerSecond.toLocaleString("en")} requests per second, an address ${limits.perAddressPerSecond.toLocaleString("en")}.`,
    `A body may have ${maxBodyKib} KiB and must arrive within ${BODY_TIMEOUT_MS / 1000} s.`,
    `A call may take ${CALL_DEADLINE_MS / 1000} s, queue included.`,
    `A call may have up to ${MAX_STOP_STRINGS} stop texts.`,
    "Calls that find every slot taken wait in a queue; a call that would wait too long is refused at once with 503 `overloaded`.",
  ].join(" ");
}

export function headerTable(fleet: FleetConfig) {
  const names = exampleNames(fleet);
  return table(
    ["Header of the answer", "Meaning", "Example"],
    Object.entries(HEADERS).map(([name, { description }]) => [
      `\`${name}\``,
      description,
      `\`${headerExample(name, names)}\``,
    ]),
  );
}

export function privacyText(): string {
  return (
    "**Privacy.** No prompt and no answer is logged or stored on any part of the path, not even in an error. Usage is " +
    `booked as counts of tokens by key, model and agent type (unknown agent types as \`${DEFAULT_AGENT}\`). A prompt's ` +
    "cache is reused only within one end user's conversation, and only if the request names one (`user`, `session_id`, " +
    "`prompt_cache_key`, `safety_identifier`, `metadata.user_id`)."
  );
}
