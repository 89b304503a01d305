// `isha keys rotate <id>`: a new secret for the same key; the old one goes on for a grace time.
import type { Command } from "commander";
import { KeyRotation, KeyWithSecret, MAX_ROTATION_GRACE_S, ROTATION_GRACE_S } from "../../../shared/keys.ts";
import { addExamples, addServiceOptions } from "../../options/common-options.ts";
import { connect, type ConnectionOptions } from "../../api/connection.ts";
import { usageFailure } from "../../failure.ts";
import { addKeyArgument, keyPath } from "../../options/key-argument.ts";
import { addSaveOption, tellNewKey, type SaveOptions } from "../../terminal/new-secret.ts";
import { optionValue, readSpan } from "../../options/option-values.ts";
import type { CommandContext } from "../../context.ts";

const HOUR_S = 3_600;
const DAY_S = 24 * HOUR_S;

type Options = SaveOptions & ConnectionOptions & { readonly grace?: number };

export function addKeysRotate(keys: Command, around: CommandContext): void {
  const command = addKeyArgument(keys.command("rotate"))
    .summary("a new secret for a key")
    .description(
      "Gives a key a new secret, shown this once. The old one goes on for the grace time, so that no call fails " +
        "while the new one is being put in place. Id, limits and usage stay.",
    )
    .option(
      "--grace <time>",
      `how long the old one goes on: 90m, 24h, 7d; 0 ends it at once (default: ${ROTATION_GRACE_S / HOUR_S}h, ` +
        `most: ${MAX_ROTATION_GRACE_S / DAY_S}d)`,
      optionValue(readSpan),
    );
  addServiceOptions(addSaveOption(command)).action((id: string, options: Options) =>
    rotate(id, options, around),
  );
  addExamples(command, [
    "isha keys rotate 3fA9kQ2mXw7b",
    "isha keys rotate 3fA9kQ2mXw7b --grace 7d --save clinic.key",
    "isha keys rotate 3fA9kQ2mXw7b --grace 0",
  ]);
}

async function rotate(id: string, options: Options, around: CommandContext): Promise<void> {
  const body = options.grace === undefined ? {} : { graceSeconds: options.grace };
  if (!KeyRotation.safeParse(body).success) {
    throw usageFailure(`--grace: at most ${MAX_ROTATION_GRACE_S / DAY_S} days.`);
  }
  const api = await connect(options, around);
  await tellNewKey(
    options,
    around,
    () => api.ask(KeyWithSecret, `${keyPath(id)}/rotate`, { method: "POST", body }),
    ({ name }) => `The key “${name}” has a new secret.`,
  );
}
