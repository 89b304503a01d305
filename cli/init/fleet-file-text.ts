// Writes a fleet file as an operator would: what all servers have in common once, each server's own fields in its entry.
// Pure.
import type { FleetInput } from "../../shared/fleet.ts";

const COMMON = ["slots", "contextPerSlot", "maxTokens", "kvType", "ubatch"] as const;

/** @param shared the import path of shared/fleet.ts */
export function fleetFileText(fleet: FleetInput, shared: string): string {
  const servers = fleet.boxes.flatMap((box) => box.servers);
  const [first] = servers;
  const names = COMMON.filter((name) => servers.every((server) => server[name] === first?.[name]));
  const common = Object.fromEntries(names.map((name) => [name, first?.[name]]));
  const boxes = fleet.boxes.map((box) => ({
    ...box,
    servers: box.servers.map((server) => {
      const own = Object.entries(server).filter(([name]) => !names.some((shown) => shown === name));
      return names.length === 0 ? Object.fromEntries(own) : { "...": "common", ...Object.fromEntries(own) };
    }),
  }));
  const declaration = names.length === 0 ? "" : `const common = ${inline(common)} as const;\n\n`;
  return `// The fleet of this deployment, as \`isha init\` wrote it. Only this file contains domains, ports, models and agent types.
// \`isha check\` validates it and reports each fault with its field; \`isha plan\` shows whether the models fit the card.
import { defineFleet } from ${JSON.stringify(shared)};

${declaration}export default defineFleet(${literal({ ...fleet, boxes }, 0)});
`;
}

const WIDTH = 110;

function literal(value: unknown, indent: number): string {
  if (Array.isArray(value)) return list(value, indent);
  if (typeof value === "object" && value !== null) return object({ ...value }, indent);
  return JSON.stringify(value);
}

function object(members: Readonly<Record<string, unknown>>, indent: number): string {
  const pad = " ".repeat(indent + 2);
  const entries = Object.entries(members).filter(([, value]) => value !== undefined);
  if (
    entries.every(([, value]) => typeof value !== "object" || value === null) &&
    indent > 0 &&
    entries.length <= 2
  )
    return inline(members);
  const lines = entries.map(([name, value]) =>
    name === "..." ? `${pad}...${String(value)},` : `${pad}${key(name)}: ${literal(value, indent + 2)},`,
  );
  return `{\n${lines.join("\n")}\n${" ".repeat(indent)}}`;
}

function list(values: readonly unknown[], indent: number): string {
  const line = `[${values.map((value) => literal(value, indent)).join(", ")}]`;
  const isFlat = values.every((value) => typeof value !== "object");
  if (isFlat && indent + line.length < WIDTH) return line;
  const pad = " ".repeat(indent + 2);
  return `[\n${values.map((value) => `${pad}${literal(value, indent + 2)},`).join("\n")}\n${" ".repeat(indent)}]`;
}

function inline(members: Readonly<Record<string, unknown>>): string {
  const entries = Object.entries(members).map(([name, value]) => `${key(name)}: ${literal(value, 0)}`);
  return entries.length === 0 ? "{}" : `{ ${entries.join(", ")} }`;
}

const key = (name: string): string => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name));
