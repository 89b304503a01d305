// Arguments that name a key, a box or a server, and the API paths that they lead to.
import { InvalidArgumentError, type Command } from "commander";
import type { Box, FleetConfig } from "../../shared/fleet.ts";
import { KeyId } from "../../shared/keys.ts";
import { usageFailure } from "../failure.ts";

/** The same names as the fleet file accepts. */
const BOX_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

export function addKeyArgument(command: Command): Command {
  return command.argument("<id>", "the key's id, as `isha keys list` shows it", parseKeyId);
}

export function addBoxArgument(command: Command): Command {
  return command.argument("<box>", "the box's name, as `isha status` shows it", parseBoxName);
}

export function addPortArgument(command: Command): Command {
  return command.argument("<port>", "the server's port", parsePort);
}

export function parseKeyId(text: string): string {
  if (text.startsWith("isha_") && text.length > 64) {
    throw new InvalidArgumentError(
      "This is a complete key; its id is the part between the first two underscores. If others can see what you typed, rotate the key.",
    );
  }
  const parsed = KeyId.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError("It must be a key's id, as `isha keys list` shows it.");
  return parsed.data;
}

function parseBoxName(text: string): string {
  if (BOX_NAME.test(text)) return text;
  throw new InvalidArgumentError("It must be a box's name, as `isha status` shows it.");
}

function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new InvalidArgumentError("It must be a port, such as 9001.");
  return port;
}

export const keyPath = (id: string): string => `/admin/keys/${encodeURIComponent(id)}`;

export const boxPath = (box: string): string => `/admin/boxes/${encodeURIComponent(box)}`;

/** The box of an option; the fleet's first without a name. @throws CommandFailure with the names that there are */
export function boxNamed({ boxes }: FleetConfig, name: string | undefined): Box {
  const box = name === undefined ? boxes[0] : boxes.find((one) => one.name === name);
  if (box !== undefined) return box;
  throw usageFailure(
    `The fleet file has no box ${JSON.stringify(name)}.`,
    `Its boxes are: ${boxes.map((one) => one.name).join(", ")}.`,
  );
}
