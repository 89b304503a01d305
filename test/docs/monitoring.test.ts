// Holds the Prometheus rules, the Grafana dashboard and their document to the metrics that an agent has: names, labels, and
// the values of labels that are closed sets.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import parsePrometheusTextFormat from "parse-prometheus-text-format";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { parse as parseYaml } from "yaml";
import * as z from "zod";
import type { CallReport } from "../../origin-agent/calls/report.ts";
import { Metrics } from "../../origin-agent/telemetry/metrics.ts";
import { GpuProbe } from "../../origin-agent/probes/gpu.ts";
import { HOT_C } from "../../worker/fleet/alarms/conditions.ts";
import { answered, ask, callOf } from "../origin-agent/support/ask.ts";
import { startAgent, startSimulator, testBox, WANTED, type TestAgent } from "../origin-agent/support/box.ts";
import type { SimulatedServer } from "../sim/start.ts";
import { until } from "../support/until.ts";

const read = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`../../docs/monitoring/${name}`, import.meta.url)), "utf8");

/** Labels that Prometheus itself adds to every series of a scrape. */
const SCRAPE_LABELS = ["job", "instance"];

const Rules = z.strictObject({
  groups: z
    .array(
      z.strictObject({
        name: z.string(),
        rules: z
          .array(
            z.strictObject({
              alert: z.string().regex(/^Isha[A-Z][A-Za-z]+$/),
              expr: z.string(),
              for: z
                .string()
                .regex(/^\d+m$/)
                .optional(),
              labels: z.strictObject({ severity: z.enum(["page", "warn"]) }),
              annotations: z.strictObject({ summary: z.string(), description: z.string() }),
            }),
          )
          .min(1),
      }),
    )
    .min(1),
});

const Dashboard = z.looseObject({
  title: z.string(),
  panels: z
    .array(
      z.looseObject({
        id: z.int(),
        title: z.string(),
        gridPos: z.strictObject({ x: z.int().min(0), y: z.int().min(0), w: z.int(), h: z.int() }),
        targets: z.array(z.looseObject({ expr: z.string(), legendFormat: z.string() })).min(1),
      }),
    )
    .min(1),
  templating: z.looseObject({
    list: z.array(
      z.looseObject({
        name: z.string(),
        query: z.union([z.string(), z.looseObject({ query: z.string() })]),
      }),
    ),
  }),
});

const rules = Rules.parse(parseYaml(read("alerts.yaml"))).groups.flatMap((group) => group.rules);
const { panels, templating } = Dashboard.parse(JSON.parse(read("dashboard.json")));

/** Each expression with the labels that the texts around it use. */
interface Query {
  readonly source: string;
  readonly expr: string;
  readonly texts: string;
}

const queries: readonly Query[] = [
  ...rules.map(({ alert, expr, annotations }) => ({
    source: alert,
    expr,
    texts: `${annotations.summary} ${annotations.description}`.replaceAll("$labels.", ""),
  })),
  ...panels.flatMap(({ title, targets }) =>
    targets.map(({ expr, legendFormat }) => ({ source: title, expr, texts: legendFormat })),
  ),
  ...templating.list.flatMap(({ name, query }) =>
    typeof query === "string" ? [] : [{ source: `variable ${name}`, expr: query.query, texts: "" }],
  ),
];

/** Values of each label of each metric, as an agent has reported them. */
type Series = ReadonlyMap<string, ReadonlyMap<string, ReadonlySet<string>>>;

let simulator: SimulatedServer;
let agent: TestAgent;
let series: Series;

beforeAll(async () => {
  simulator = await startSimulator(WANTED);
  agent = await startAgent({ [WANTED]: simulator.port });
  await agent.settled();
  // A call of each kind, so that every metric has a sample.
  await answered(agent.port, { call: { stream: true } });
  await simulator.set({ stall: true });
  const asked = ask(agent.port, { call: { stream: true } });
  await simulator.until((state) => state.generating === 1);
  asked.leave();
  const scrape = async (): Promise<string> => (await fetch(`http://127.0.0.1:${agent.port}/metrics`)).text();
  await until(async () => /abort_to_free_seconds_count\{[^}]*\} 1/.test(await scrape()));
  await simulator.set({ stall: false });
  series = seriesOf([await scrape(), await withCard()]);
});
afterAll(async () => {
  await agent.close();
  await simulator.stop();
});

/** The metrics of a box with a card, with a call that was continued, and with simulated servers. */
async function withCard(): Promise<string> {
  const probe = new GpuProbe({ command: ["none"], onProblem: () => undefined, clock: () => 0 });
  const card = { index: 0, uuid: "GPU-a", name: "a card", memoryTotalGib: 24, memoryUsedGib: 6 };
  const gpus = [{ ...card, utilizationPercent: 37, temperatureC: 41, powerWatts: 28 }];
  vi.spyOn(probe, "latest").mockReturnValue({ gpus, processes: null, processesReadAt: null });
  const metrics = new Metrics(testBox(), []);
  metrics.observe(agent.live, probe, { state: { state: "ok", reason: null, lost: 0 } }, true);
  metrics.ended(callOf({}), RECOVERED, 40);
  return metrics.text();
}

const RECOVERED: CallReport = {
  outcome: "answered",
  port: WANTED,
  refusal: null,
  queueMs: 3,
  firstByteMs: 20,
  replays: 1,
  continuations: 1,
  counts: null,
  otherChoiceTokens: 0,
  estimate: null,
  promptEstimate: null,
};

function seriesOf(texts: readonly string[]): Series {
  const found = new Map<string, Map<string, Set<string>>>();
  for (const text of texts) {
    for (const family of text.matchAll(/^# TYPE (\S+) \S+$/gm)) found.set(family[1] ?? "", new Map());
  }
  // Without its types the parser doesn't fold histograms.
  const samples = texts.flatMap((text) => parsePrometheusTextFormat(text.replaceAll(/^# TYPE .*\n/gm, "")));
  for (const { name, metrics } of samples) {
    const labels = found.get(name) ?? new Map<string, Set<string>>();
    found.set(name, labels);
    for (const one of metrics) {
      for (const [label, value] of Object.entries(one.labels ?? {}))
        labels.set(label, (labels.get(label) ?? new Set()).add(value));
    }
  }
  return found;
}

const metricsIn = (expr: string): string[] => [...new Set(expr.match(/\bisha_[a-z_]+\b/g))];

/** What is wrong with a query. */
function faultsOf({ expr, texts }: Query): string[] {
  const names = metricsIn(expr);
  if (names.length === 0 && !/\bup\{/.test(expr)) return ["it names no metric"];
  const labels = new Set(SCRAPE_LABELS);
  const faults = names.filter((name) => !series.has(name)).map((name) => `no metric ${name}`);
  for (const name of names) for (const label of series.get(name)?.keys() ?? []) labels.add(label);
  for (const [, name = "", matchers = ""] of expr.matchAll(/\b(isha_[a-z_]+|up)\{([^}]*)\}/g)) {
    for (const [, label = "", operator = "", value = ""] of matchers.matchAll(
      /([a-z_]+)\s*(=~|!=|!~|=)\s*"([^"]*)"/g,
    )) {
      if (name === "up" && SCRAPE_LABELS.includes(label)) continue;
      if (series.get(name)?.has(label) !== true) faults.push(`${name} has no label ${label}`);
      else faults.push(...unknownValues(name, label, operator, value));
    }
  }
  const grouped = [...expr.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap(([, list = ""]) => list.split(", "));
  const shown = [...texts.matchAll(/\{\{ ?([a-z_]+) ?\}\}/g)].map(([, label = ""]) => label);
  for (const label of [...grouped, ...shown]) if (!labels.has(label)) faults.push(`no label ${label}`);
  // An aggregation drops every label that it isn't grouped by.
  if (grouped.length > 0 && /^(?:sum|max|histogram_quantile)/.test(expr.trim()))
    for (const label of shown) if (!grouped.includes(label)) faults.push(`${label} isn't in the result`);
  return faults;
}

/** Labels whose values are closed sets that this file's agent reports in full. */
const CLOSED = new Set(["state", "use", "priority"]);

function unknownValues(name: string, label: string, operator: string, value: string): string[] {
  if (!CLOSED.has(label)) return [];
  const wanted = operator.endsWith("~") ? value.split("|") : [value];
  return wanted
    .filter((one) => series.get(name)?.get(label)?.has(one) !== true)
    .map((one) => `${label} ${one}?`);
}

describe("the queries", () => {
  it.each(queries)("of $source use metrics and labels that exist: $expr", (query) => {
    expect(faultsOf(query)).toEqual([]);
  });

  it.each<[string, string, string]>([
    ["a metric", "isha_request_total", "{{port}}"],
    ["a label of a matcher", 'isha_queued{port="1"}', ""],
    ["a label of a grouping", "sum by (model) (isha_slots)", ""],
    ["a value", 'isha_server_state{state="up"}', ""],
    ["a label of the legend", "isha_slots", "{{model}}"],
    ["a label that was summed up", "sum by (port) (isha_slots)", "{{use}}"],
  ])("are refused with %s that doesn't exist", (_what, expr, texts) => {
    expect(faultsOf({ source: "", expr, texts })).not.toEqual([]);
  });

  it("cover every metric, in the dashboard as in the document", () => {
    const shown = panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => metricsIn(expr)));
    const families = new Set([...series.keys()].map((name) => name.replace(/_(?:bucket|sum|count)$/, "")));
    const inDashboard = new Set(shown.map((name) => name.replace(/_bucket$/, "")));
    // A box whose figures are simulated is not monitored.
    families.delete("isha_simulated");
    expect([...inDashboard].toSorted()).toEqual([...families].toSorted());
    const rows = [...read("README.md").matchAll(/^\| `(isha_[a-z_]+)` +\| (.*?) +\|/gm)];
    families.add("isha_simulated");
    expect(rows.map(([, name]) => name ?? "").toSorted()).toEqual([...families].toSorted());
    for (const [, name = "", labels = ""] of rows) {
      const known = series.get(name)?.size === 0 ? series.get(`${name}_sum`) : series.get(name);
      const expected = [...(known?.keys() ?? [])].filter((label) => label !== "box");
      const listed = [...labels.matchAll(/`([a-z_]+)`/g)].map(([, label]) => label);
      if (known !== undefined && known.size > 0) expect(new Set(listed), name).toEqual(new Set(expected));
    }
  });
});

describe("the rules", () => {
  it("have names of their own, and the edge's temperature", () => {
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
    expect(rules.find(({ alert }) => alert === "IshaGpuHot")?.expr).toContain(`>= ${HOT_C}`);
  });
});

describe("the dashboard", () => {
  it("has panels with ids of their own that don't overlap", () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, at) => `${x + (at % w)},${y + Math.floor(at / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(panels.every(({ gridPos: { x, w } }) => x + w <= 24)).toBe(true);
  });
});
