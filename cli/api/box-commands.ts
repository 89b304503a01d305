// Commands to a box, and the agents that they reached.
import * as z from "zod";
import { boxPath } from "../options/arguments.ts";
import { countText } from "../terminal/format.ts";
import { plain } from "../terminal/safe-text.ts";
import type { AdminApi, Answer } from "./admin-api.ts";

/** Answer to a command, with the number of agents that it was sent to. */
const CommandResult = z.object({ box: z.string(), agents: z.int() });
type CommandResult = z.infer<typeof CommandResult>;

/** @param command `drain`, `resume` or `servers/<port>/restart` */
export function sendBoxCommand(api: AdminApi, box: string, command: string): Promise<Answer<CommandResult>> {
  return api.request(CommandResult, `${boxPath(box)}/${command}`, { method: "POST" });
}

/** Which agents received a command that the service stores. */
export function deliveryText({ box, agents }: CommandResult): string {
  if (agents === 0)
    return `No agent of ${plain(box)} is linked; the next one that links receives the command.`;
  return agents === 1
    ? "Its agent received the command."
    : `Its ${countText(agents)} agents received the command.`;
}
