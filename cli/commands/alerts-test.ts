// `isha alerts test`: a message to where alarms go.
import type { Command } from "commander";
import * as z from "zod";
import { addExamples, addServiceOptions, writeJson, type OutputOptions } from "../options/common-options.ts";
import { connect, type ConnectionOptions } from "../api/connection.ts";
import type { CommandContext } from "../context.ts";

type Options = OutputOptions & ConnectionOptions;

const Delivered = z.object({ delivered: z.literal(true) });

export function addAlertsTest(alerts: Command, around: CommandContext): void {
  const command = alerts
    .command("test")
    .summary("send a test message to where alarms go")
    .description(
      "Has the service post a test message to ALERT_WEBHOOK_URL, as it posts alarms, and tells what came of it.",
    );
  addServiceOptions(command).action((options: Options) => test(options, around));
  addExamples(command, ["isha alerts test"]);
}

async function test(options: Options, around: CommandContext): Promise<void> {
  const api = await connect(options, around);
  const { raw } = await api.ask(Delivered, "/admin/alerts/test", { method: "POST" });
  if (options.json === true) writeJson(around.out, raw);
  else
    around.out.write(
      "Whoever listens at ALERT_WEBHOOK_URL took the test message. See that it has come to where somebody is woken.\n",
    );
}
