// `isha keys list`: lists the keys, oldest first.
import { Option, type Command } from "commander";
import { KEY_STATES, KeyList } from "../../../shared/keys.ts";
import { connect } from "../../api/connection.ts";
import { readList } from "../../api/lists.ts";
import { addExamples, addServiceOptions, writeJson, type ServiceOptions } from "../../options/common.ts";
import { countText } from "../../terminal/format.ts";
import { KEY_COLUMNS, keyRow } from "../../terminal/key-text.ts";
import type { CommandContext } from "../../context.ts";
import { tableText } from "../../terminal/table.ts";

/** Rows of a page: a few screens. */
const PAGE = 100;

type Options = ServiceOptions & { readonly state?: string; readonly all?: true };

export function addKeysList(keys: Command, io: CommandContext): void {
  const command = keys
    .command("list")
    .summary("all keys")
    .description(`Lists keys, oldest first: the first ${PAGE}, or all. It never shows a secret.`)
    .addOption(new Option("--state <state>", "only keys in this state").choices(KEY_STATES))
    .option("--all", `all, not only the first ${PAGE}`);
  addServiceOptions(command).action((options: Options) => list(options, io));
  addExamples(command, [
    "isha keys list",
    "isha keys list --state active --all",
    "isha keys list --all --json | jq -r '.keys[].id'",
  ]);
}

async function list(options: Options, io: CommandContext): Promise<void> {
  const api = await connect(options, io);
  const { rows, more, raw } = await readList(api, {
    field: "keys",
    schema: KeyList,
    path: "/admin/keys",
    query: { state: options.state, limit: PAGE },
    all: options.all === true,
  });
  const { out, err } = io;
  if (options.json === true) return writeJson(out, raw);
  if (rows.length === 0) {
    return err.write(
      options.state === undefined ? "There are no keys yet.\n" : `No key is ${options.state}.\n`,
    );
  }
  out.write(tableText(KEY_COLUMNS, rows.map(keyRow), out));
  if (more) err.write(`These are the first ${countText(rows.length)}; --all shows all.\n`);
}
