// The box and the server a command is about, as its arguments; and what the service answers to an order.
import { InvalidArgumentError, type Command } from "commander";
import * as z from "zod";
import { countText } from "../terminal/figures.ts";
import { plain } from "../terminal/safe-text.ts";

/** As the fleet file takes names. */
const BOX_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

export function addBoxArgument(command: Command): Command {
  return command.argument("<box>", "the box's name, as `isha fleet` shows it", readBoxName);
}

export function addPortArgument(command: Command): Command {
  return command.argument("<port>", "the server's port", readServerPort);
}

function readBoxName(text: string): string {
  if (!BOX_NAME.test(text))
    throw new InvalidArgumentError("It must be a box's name, as `isha fleet` shows it.");
  return text;
}

function readServerPort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new InvalidArgumentError("It must be a port, such as 9001.");
  return port;
}

/** Its route. */
export const boxPath = (box: string): string => `/admin/boxes/${encodeURIComponent(box)}`;

/** Answer to an order: how many agents of the box were told. */
export const Ordered = z.object({ box: z.string(), told: z.int() });
export type Ordered = z.infer<typeof Ordered>;

/** Whom a wish that is kept has reached. */
export function toldText({ box, told }: Ordered): string {
  if (told === 0) return `No agent of ${plain(box)} is linked: the next one that dials is told.`;
  return told === 1 ? "Its agent was told." : `Its ${countText(told)} agents were told.`;
}
