// Formats a memory plan for a terminal: a row for each server, then the verdict and what would change it. Pure.
import type { BoxPlan, ServerPlan } from "../plan/plan.ts";
import { plain } from "./safe-text.ts";
import { bold, tableText, type Column, type Screen } from "./table.ts";

const COLUMNS: readonly Column[] = [
  { title: "PORT", right: true },
  { title: "MODEL", cut: true },
  { title: "SLOTS × CONTEXT", right: true },
  { title: "CACHE" },
  { title: "WEIGHTS", right: true },
  { title: "KV", right: true },
  { title: "BUFFERS", right: true },
  { title: "CUDA", right: true },
  { title: "GiB", right: true },
  { title: "FROM" },
];

export function planText(plans: readonly BoxPlan[], screen: Screen): string {
  return plans.map((plan) => boxText(plan, screen)).join("\n");
}

function boxText(plan: BoxPlan, screen: Screen): string {
  const { box, servers, totalGib, allowedGib, fits } = plan;
  const sum = (of: keyof ServerPlan["need"]): number => servers.reduce((all, { need }) => all + need[of], 0);
  const parts = [gib(sum("weights")), exact(sum("kv")), exact(sum("buffers")), exact(sum("context"))];
  const total = ["", "", "", "", ...parts, gib(totalGib), ""];
  const room = allowedGib - totalGib;
  const verdict = fits
    ? `It fits: ${gib(totalGib)} of ${gib(allowedGib)} GiB, ${gib(room)} to spare.`
    : `It does NOT fit: ${gib(totalGib)} of ${gib(allowedGib)} GiB, ${gib(-room)} too much.`;
  return [
    `${bold(`${plain(box.name)}: ${plain(box.gpu)}, ${box.vramGib} GiB`, screen)}\n`,
    tableText(COLUMNS, servers.map(row), screen, total),
    `\n${bold(verdict, screen)}\n`,
    ...(fits ? [] : changesText(plan)),
    ...section("Files:", servers.flatMap(fileLine)),
    ...section(
      "In the fleet file:",
      servers.flatMap(({ corrections }) => corrections),
    ),
  ].join("");
}

function changesText({ changes }: BoxPlan): string[] {
  if (changes.length === 0) return ["Not even with the smallest settings; move models to another box.\n"];
  return section(
    "It would fit with one of:",
    changes.map(({ what, totalGib }) => `${what}: ${gib(totalGib)} GiB`),
  );
}

function section(title: string, lines: readonly string[]): string[] {
  const distinct = [...new Set(lines)];
  return distinct.length === 0 ? [] : [`${title}\n`, ...distinct.map((line) => `  ${plain(line)}\n`)];
}

function row({ server, memory, need, file }: ServerPlan): string[] {
  return [
    String(server.port),
    server.model,
    `${memory.slots} × ${memory.contextPerSlot}`,
    memory.kvType,
    gib(need.weights),
    exact(need.kv),
    exact(need.buffers),
    exact(need.context),
    gib(need.total),
    "facts" in file ? "file" : "fleet file",
  ];
}

function fileLine({ server, file }: ServerPlan): string[] {
  if ("facts" in file) return [];
  return "missing" in file
    ? [`${server.file}: ${file.missing}; the fleet file's figures are used`]
    : [`${server.file}: ${file.fault}`];
}

const gib = (value: number): string => value.toFixed(1);
const exact = (value: number): string => value.toFixed(2);
