// `isha audit`: lists what operators did, newest first.
import { InvalidArgumentError, type Command } from "commander";
import { AuditList, AuditQuery, type AuditEntry } from "../../shared/keys.ts";
import { addExamples, addServiceOptions, writeJson, type ServiceOptions } from "../options/common.ts";
import { connect } from "../api/connection.ts";
import { readList } from "../api/lists.ts";
import { countText, momentText } from "../terminal/format.ts";
import { parseKeyId } from "../options/arguments.ts";
import type { CommandContext } from "../context.ts";
import { tableText, type Column } from "../terminal/table.ts";

const PAGE = 50;

const COLUMNS: readonly Column[] = [
  { title: "WHEN" },
  { title: "BY" },
  { title: "WHAT" },
  { title: "TARGET" },
  { title: "DETAIL", cut: true },
];

type Options = ServiceOptions & { readonly target?: string; readonly all?: true };

export function addAudit(program: Command, io: CommandContext): void {
  const command = program
    .command("audit")
    .summary("what operators did")
    .description(`Lists what operators did with keys and boxes, newest first: the last ${PAGE}, or all.`)
    .option("--target <id>", "only what was done to this key, box or server (box1:9001)", parseTarget)
    .option("--all", `all, not only the last ${PAGE}`);
  addServiceOptions(command).action((options: Options) => audit(options, io));
  addExamples(command, [
    "isha audit",
    "isha audit --target 3fA9kQ2mXw7b --all",
    `isha audit --target ${io.example.box}:${io.example.port}`,
  ]);
}

function parseTarget(text: string): string {
  // parseKeyId refuses a complete key.
  if (text.startsWith("isha_")) return parseKeyId(text);
  if (text !== "" && AuditQuery.shape.target.safeParse(text).success) return text;
  throw new InvalidArgumentError("It must be a key's id, a box, or a box's server such as box1:9001.");
}

async function audit(options: Options, io: CommandContext): Promise<void> {
  const api = await connect(options, io);
  const { rows, more, raw } = await readList(api, {
    field: "entries",
    schema: AuditList,
    path: "/admin/audit",
    query: { target: options.target, limit: PAGE },
    all: options.all === true,
  });
  const { out, err } = io;
  if (options.json === true) return writeJson(out, raw);
  if (rows.length === 0) return err.write("There are no entries yet.\n");
  out.write(tableText(COLUMNS, rows.map(entryRow), out));
  if (more) err.write(`These are the last ${countText(rows.length)}; --all shows all.\n`);
}

function entryRow({ at, actor, action, target, detail }: AuditEntry): string[] {
  const details = Object.entries(detail).map(([name, value]) => `${name}=${detailText(value)}`);
  return [momentText(at), actor, action, target, details.join(" ")];
}

const detailText = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));
