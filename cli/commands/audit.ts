// `isha audit`: what operators did, newest first.
import { InvalidArgumentError, type Command } from "commander";
import { AuditList, AuditQuery, type AuditEntry } from "../../shared/keys.ts";
import { addExamples, addServiceOptions, writeJson, type OutputOptions } from "../options/common-options.ts";
import { connect, type ConnectionOptions } from "../api/connection.ts";
import { countText, momentText } from "../terminal/figures.ts";
import { readKeyId } from "../options/key-argument.ts";
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

type Options = OutputOptions & ConnectionOptions & { readonly target?: string; readonly all?: true };

export function addAudit(program: Command, around: CommandContext): void {
  const command = program
    .command("audit")
    .summary("what operators did")
    .description(`Lists what operators did with keys and boxes, newest first: the last ${PAGE}, or all.`)
    .option("--target <id>", "what was done to this key, box or server (box1:9001) alone", readTarget)
    .option("--all", `all, not only the last ${PAGE}`);
  addServiceOptions(command).action((options: Options) => audit(options, around));
  addExamples(command, [
    "isha audit",
    "isha audit --target 3fA9kQ2mXw7b --all",
    "isha audit --target box1:9001",
  ]);
}

function readTarget(text: string): string {
  // A whole key is told apart from its id there.
  if (text.startsWith("isha_")) return readKeyId(text);
  if (text !== "" && AuditQuery.shape.target.safeParse(text).success) return text;
  throw new InvalidArgumentError("It must be a key's id, a box, or a box's server such as box1:9001.");
}

async function audit(options: Options, around: CommandContext): Promise<void> {
  const api = await connect(options, around);
  const query = { target: options.target, limit: PAGE };
  const pages =
    options.all === true
      ? await api.askAll(AuditList, "/admin/audit", query)
      : [await api.ask(AuditList, "/admin/audit", { query })];
  const next = pages.at(-1)?.value.next ?? null;
  const { out, err } = around;
  if (options.json === true) {
    writeJson(out, {
      entries: pages.flatMap(({ raw }) => (raw as { readonly entries: unknown[] }).entries),
      next,
    });
    return;
  }
  const entries = pages.flatMap(({ value }) => value.entries);
  if (entries.length === 0) {
    err.write("Nothing was done yet.\n");
    return;
  }
  out.write(tableText(COLUMNS, entries.map(entryRow), out));
  if (next !== null) err.write(`These are the last ${countText(entries.length)}; --all shows all.\n`);
}

function entryRow({ at, actor, action, target, detail }: AuditEntry): string[] {
  const told = Object.entries(detail).map(([name, value]) => `${name}=${detailText(value)}`);
  return [momentText(at), actor, action, target, told.join(" ")];
}

const detailText = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));
