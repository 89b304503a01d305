// The key a command is about, as its first argument.
import { InvalidArgumentError, type Command } from "commander";
import { KeyId } from "../../shared/keys.ts";

export function addKeyArgument(command: Command): Command {
  return command.argument("<id>", "the key's id, as `isha keys list` shows it", readKeyId);
}

export function readKeyId(text: string): string {
  if (text.startsWith("isha_") && text.length > 64) {
    throw new InvalidArgumentError(
      "That is a whole key. Its id is the part between the first two underscores; and rotate a key that was typed where others see it.",
    );
  }
  const parsed = KeyId.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError("It must be a key's id, as `isha keys list` shows it.");
  return parsed.data;
}

/** Its route. */
export const keyPath = (id: string): string => `/admin/keys/${encodeURIComponent(id)}`;
