// `isha alerts test`: sends a test message to the receiver of alarms.
import type { Command } from "commander";
import * as z from "zod";
import { addExamples, addServiceOptions, writeAnswer, type ServiceOptions } from "../options/common.ts";
import { connect } from "../api/connection.ts";
import type { CommandContext } from "../context.ts";

const Delivered = z.object({ delivered: z.literal(true) });

export function addAlertsTest(alerts: Command, io: CommandContext): void {
  const command = alerts
    .command("test")
    .summary("send a test message to the receiver of alarms")
    .description(
      "Sends a test message from the service to ALERT_WEBHOOK_URL, the way it sends alarms, and reports the result.",
    );
  addServiceOptions(command).action((options: ServiceOptions) => sendTest(options, io));
  addExamples(command, ["isha alerts test"]);
}

async function sendTest(options: ServiceOptions, io: CommandContext): Promise<void> {
  const api = await connect(options, io);
  const { raw } = await api.request(Delivered, "/admin/alerts/test", { method: "POST" });
  writeAnswer(
    options,
    io,
    raw,
    () =>
      "The receiver at ALERT_WEBHOOK_URL accepted the test message. Check that it reached the on-call operator.\n",
  );
}
