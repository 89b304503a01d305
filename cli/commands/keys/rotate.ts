// `isha keys rotate <id>`: gives a key a new secret; the old one stays valid for a grace period.
import type { Command } from "commander";
import { KeyRotation, KeyWithSecret, MAX_ROTATION_GRACE_S, ROTATION_GRACE_S } from "../../../shared/keys.ts";
import { connect } from "../../api/connection.ts";
import { usageFailure } from "../../failure.ts";
import { addKeyArgument, keyPath } from "../../options/arguments.ts";
import { addExamples, addServiceOptions, type ServiceOptions } from "../../options/common.ts";
import { optionValue, parseDuration } from "../../options/values.ts";
import { addSaveOption, showNewKey, type SaveOptions } from "../../terminal/new-secret.ts";
import type { CommandContext } from "../../context.ts";

const HOUR_S = 3_600;
const DAY_S = 24 * HOUR_S;

type Options = SaveOptions & ServiceOptions & { readonly grace?: number };

export function addKeysRotate(keys: Command, io: CommandContext): void {
  const command = addKeyArgument(keys.command("rotate"))
    .summary("give a key a new secret")
    .description(
      "Gives a key a new secret, shown only once. The old one stays valid for the grace period, so that no call fails " +
        "while the client changes over. Id, limits and usage stay.",
    )
    .option(
      "--grace <time>",
      `how long the old secret stays valid: 90m, 24h, 7d; 0 ends it at once (default: ` +
        `${ROTATION_GRACE_S / HOUR_S}h, maximum: ${MAX_ROTATION_GRACE_S / DAY_S}d)`,
      optionValue(parseDuration),
    );
  addServiceOptions(addSaveOption(command)).action((id: string, options: Options) => rotate(id, options, io));
  addExamples(command, [
    "isha keys rotate 3fA9kQ2mXw7b",
    "isha keys rotate 3fA9kQ2mXw7b --grace 7d --save clinic.key",
    "isha keys rotate 3fA9kQ2mXw7b --grace 0",
  ]);
}

async function rotate(id: string, options: Options, io: CommandContext): Promise<void> {
  const body = options.grace === undefined ? {} : { graceSeconds: options.grace };
  if (!KeyRotation.safeParse(body).success) {
    throw usageFailure(`--grace: at most ${MAX_ROTATION_GRACE_S / DAY_S} days.`);
  }
  const api = await connect(options, io);
  await showNewKey(
    options,
    io,
    () => api.request(KeyWithSecret, `${keyPath(id)}/rotate`, { method: "POST", body }),
    ({ name }) => `The key “${name}” has a new secret.`,
  );
}
