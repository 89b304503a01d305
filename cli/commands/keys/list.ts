// `isha keys list`: the keys there are, oldest first.
import { Option, type Command } from "commander";
import { KEY_STATES, KeyList } from "../../../shared/keys.ts";
import {
  addExamples,
  addServiceOptions,
  writeJson,
  type OutputOptions,
} from "../../options/common-options.ts";
import { connect, type ConnectionOptions } from "../../api/connection.ts";
import { countText } from "../../terminal/figures.ts";
import { KEY_COLUMNS, keyRow } from "../../terminal/key-text.ts";
import type { CommandContext } from "../../context.ts";
import { tableText } from "../../terminal/table.ts";

/** A page: a few screens. */
const PAGE = 100;

type Options = OutputOptions & ConnectionOptions & { readonly state?: string; readonly all?: true };

export function addKeysList(keys: Command, around: CommandContext): void {
  const command = keys
    .command("list")
    .summary("the keys there are")
    .description(`Lists keys, oldest first: the first ${PAGE}, or all of them. A secret is never shown.`)
    .addOption(new Option("--state <state>", "only those in this state").choices(KEY_STATES))
    .option("--all", `all, not only the first ${PAGE}`);
  addServiceOptions(command).action((options: Options) => list(options, around));
  addExamples(command, [
    "isha keys list",
    "isha keys list --state active --all",
    "isha keys list --all --json | jq -r '.keys[].id'",
  ]);
}

async function list(options: Options, around: CommandContext): Promise<void> {
  const api = await connect(options, around);
  const query = { state: options.state, limit: PAGE };
  const pages =
    options.all === true
      ? await api.askAll(KeyList, "/admin/keys", query)
      : [await api.ask(KeyList, "/admin/keys", { query })];
  const next = pages.at(-1)?.value.next ?? null;
  const { out } = around;
  if (options.json === true) {
    writeJson(out, { keys: pages.flatMap(({ raw }) => (raw as { readonly keys: unknown[] }).keys), next });
    return;
  }
  const keys = pages.flatMap(({ value }) => value.keys);
  if (keys.length === 0) {
    around.err.write(
      options.state === undefined ? "There are no keys yet.\n" : `No key is ${options.state}.\n`,
    );
    return;
  }
  out.write(tableText(KEY_COLUMNS, keys.map(keyRow), out));
  if (next !== null) around.err.write(`These are the first ${countText(keys.length)}; --all shows all.\n`);
}
