// Commands to a box, and what the service reports about them.
import * as z from "zod";
import { RESTART_ANSWER_MS } from "../../shared/limits.ts";
import { boxPath } from "../options/arguments.ts";
import { countText } from "../terminal/format.ts";
import { plain } from "../terminal/safe-text.ts";
import type { AdminApi, Answer } from "./admin-api.ts";

/** Answer to a command, with the number of agents that it was sent to. */
const CommandResult = z.object({ box: z.string(), agents: z.int() });
type CommandResult = z.infer<typeof CommandResult>;

/** How a restart ended; an outcome other than `ready` comes with advice. A deployment of an earlier release sends none. */
const RestartResult = z.object({
  outcome: z.string().nullable().default(null),
  tookMs: z.number().nullable().default(null),
  text: z.string().default("The service sent the restart to the box's agent and doesn't report its outcome"),
  advice: z.string().default("`isha status` shows the server's state."),
});
export type RestartResult = z.infer<typeof RestartResult>;

export function sendBoxCommand(
  api: AdminApi,
  box: string,
  command: "drain" | "resume",
): Promise<Answer<CommandResult>> {
  return api.request(CommandResult, `${boxPath(box)}/${command}`, { method: "POST" });
}

/** Restarts a server; the answer comes when it is ready, or when the restart has failed. */
export function sendRestart(api: AdminApi, box: string, port: number): Promise<Answer<RestartResult>> {
  return api.request(RestartResult, `${boxPath(box)}/servers/${port}/restart`, {
    method: "POST",
    timeoutMs: RESTART_ANSWER_MS,
  });
}

/** Which agents received a command that the service stores. */
export function deliveryText({ box, agents }: CommandResult): string {
  if (agents === 0)
    return `No agent of ${plain(box)} is linked; the next one that links receives the command.`;
  return agents === 1
    ? "Its agent received the command."
    : `Its ${countText(agents)} agents received the command.`;
}
