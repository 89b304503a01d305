// Checks `/metrics` with a third-party Prometheus parser, and that all label values are bounded.
import parsePrometheusTextFormat from "parse-prometheus-text-format";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { Metrics } from "../../../origin-agent/telemetry/metrics.ts";
import type { Gpu } from "../../../origin-agent/probes/gpu-csv.ts";
import { GpuProbe } from "../../../origin-agent/probes/gpu.ts";
import type { SimulatedServer } from "../../sim/start.ts";
import { answered, ask } from "../support/ask.ts";
import { startAgent, startSimulator, testBox, WANTED, type TestAgent } from "../support/box.ts";
import { until } from "../../support/until.ts";

let simulator: SimulatedServer;
let agent: TestAgent;

beforeAll(async () => {
  simulator = await startSimulator(WANTED);
  agent = await startAgent({ [WANTED]: simulator.port });
  await agent.settled();
});
afterAll(async () => {
  await agent.close();
  await simulator.stop();
});

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
const TYPE_LINE = /^# TYPE .*\n/gm;
const SUFFIX = /_(bucket|sum|count)$/;
const numberOf = (value: string): number =>
  /\S/.test(value) ? Number(value.replace(/^([+-])Inf$/, "$1Infinity")) : NaN;

/** The metric families as the third-party parser reads them: name and type. */
function familiesOf(text: string): ReadonlyMap<string, string> {
  const families = parsePrometheusTextFormat(text);
  for (const { name, help, type } of families) {
    if (help === "" || !["COUNTER", "GAUGE", "HISTOGRAM"].includes(type)) throw new Error(`no type: ${name}`);
  }
  if (new Set(families.map(({ name }) => name)).size < families.length) throw new Error("a family in pieces");
  return new Map(families.map(({ name, type }) => [name, type]));
}

/**
 * Every sample, read by that parser too: it folds histograms only if their type is declared. Throws if it can't
 * read a line, and checks what Prometheus rejects but it accepts: names, numbers, duplicate series.
 */
function parse(text: string): Sample[] {
  if (!text.endsWith("\n")) throw new Error("the last line must end");
  const families = familiesOf(text);
  const untyped = parsePrometheusTextFormat(text.replaceAll(TYPE_LINE, ""));
  const samples = untyped.flatMap(({ name, metrics }) =>
    metrics.map(({ value, labels = {} }) => ({ name, labels, value: numberOf(value) })),
  );
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  if (samples.length !== lines.length) throw new Error("a series stands twice");
  for (const { name, labels, value } of samples) {
    const family = families.get(name) === undefined ? name.replace(SUFFIX, "") : name;
    const isPart =
      family === name ? families.get(name) !== "HISTOGRAM" : families.get(family) === "HISTOGRAM";
    if (!families.has(family) || !isPart) throw new Error(`no family: ${name}`);
    if (!NAME.test(name) || !Object.keys(labels).every((label) => LABEL.test(label)))
      throw new Error(`no name: ${name} ${Object.keys(labels).join()}`);
    if (Number.isNaN(value)) throw new Error(`no number: ${name}`);
  }
  const series = samples.map(({ name, labels }) => name + spelled(labels));
  if (new Set(series).size < series.length) throw new Error("a series stands twice");
  for (const [family, type] of families) if (type === "HISTOGRAM") checkHistogram(family, samples);
  return samples;
}

/** A key that is independent of the labels' order. */
const spelled = (labels: Sample["labels"]): string =>
  JSON.stringify(
    Object.keys(labels)
      .toSorted((one, other) => (one < other ? -1 : 1))
      .map((name) => [name, labels[name]]),
  );

/** Every series has growing buckets up to `+Inf`, which equals its count. */
function checkHistogram(family: string, samples: readonly Sample[]): void {
  const named = (suffix: string): Sample[] => samples.filter(({ name }) => name === `${family}_${suffix}`);
  for (const { labels, value: count } of named("count")) {
    const of = (one: Sample): boolean =>
      spelled({ ...one.labels, le: "" }) === spelled({ ...labels, le: "" });
    const buckets = named("bucket").filter(of);
    const bounds = buckets.map((bucket) => numberOf(bucket.labels["le"] ?? ""));
    const grows = (list: readonly number[]): boolean =>
      list.every((one, at) => at === 0 || one >= (list[at - 1] ?? 0));
    if (!grows(bounds) || bounds.at(-1) !== Infinity || !grows(buckets.map(({ value }) => value)))
      throw new Error(`buckets of ${family}: ${bounds.join()}`);
    if (buckets.at(-1)?.value !== count || named("sum").filter(of).length !== 1)
      throw new Error(`count or sum of ${family}`);
  }
}

async function metrics(): Promise<Sample[]> {
  const answer = await fetch(`http://127.0.0.1:${agent.port}/metrics`);
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
  return parse(await answer.text());
}

const sum = (
  samples: readonly Sample[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number =>
  samples
    .filter(
      (one) => one.name === name && Object.entries(labels).every(([key, value]) => one.labels[key] === value),
    )
    .reduce((total, { value }) => total + value, 0);

describe("/metrics", () => {
  it("counts calls, tokens and times in Prometheus' format", async () => {
    await answered(agent.port, { call: { stream: true } });
    await answered(agent.port, { body: { n: 9 } });
    await until(() => agent.calls().length === 2);
    const samples = await metrics();
    expect(sum(samples, "isha_requests_total", { port: "9101", outcome: "complete", code: "none" })).toBe(1);
    expect(sum(samples, "isha_requests_total", { outcome: "refused", code: "invalid_request" })).toBe(1);
    expect(sum(samples, "isha_tokens_total", { kind: "completion" })).toBeGreaterThan(1);
    expect(sum(samples, "isha_queue_seconds_count")).toBe(2);
    expect(sum(samples, "isha_inter_token_seconds_count", { port: "9101" })).toBe(1);
    expect(sum(samples, "isha_slots", { port: "9101" })).toBe(2);
    expect(sum(samples, "isha_server_state", { port: "9101", state: "ready" })).toBe(1);
    expect(sum(samples, "isha_server_state", { port: "9102", state: "down" })).toBe(1);
    expect(samples.every(({ labels }) => labels["box"] === "north")).toBe(true);
    // The GPU's values are unknown here: left out, not 0.
    expect(samples.filter(({ name }) => name.startsWith("isha_gpu_"))).toEqual([]);
  });

  it("creates no series for names that aren't in the fleet file", async () => {
    const before = (await metrics()).length;
    for (let at = 0; at < 20; at += 1) {
      await answered(agent.port, {
        call: {
          agentType: `Stranger-${at}`,
          keyId: `key-${at}`,
          wantedPort: 7_000 + at,
          ports: [7_000 + at],
          fallbackPorts: [],
        },
      });
    }
    const samples = await metrics();
    expect(JSON.stringify(samples.map(({ labels }) => labels))).not.toMatch(/Stranger|key-|"70\d\d"/);
    expect(samples.length).toBeLessThan(before + 60);
  });

  it("measures the time from an abort until its slot is proved free", async () => {
    await simulator.set({ stall: true });
    const asked = ask(agent.port, { call: { stream: true } });
    await simulator.until((state) => state.generating === 1);
    asked.leave();
    await until(async () => sum(await metrics(), "isha_abort_to_free_seconds_count") === 1);
    await simulator.set({ stall: false });
  });
});

/** The GPU lines of `/metrics`: one line per value. */
async function ofCards(gpus: readonly Gpu[] | null): Promise<string[]> {
  const probe = new GpuProbe({ command: ["none"], onProblem: () => undefined, clock: () => 0 });
  vi.spyOn(probe, "latest").mockReturnValue({ gpus, processes: null, processesReadAt: null });
  const metrics = new Metrics(testBox(), []);
  metrics.observe(agent.live, probe, { state: { state: "ok", reason: null, lost: 0 } });
  return parse(await metrics.text())
    .filter(({ name }) => name.startsWith("isha_gpu_"))
    .map(({ name, labels, value }) => `${name} ${labels["gpu"]}: ${value}`)
    .toSorted();
}

describe("the usage journal", () => {
  it("reports the calls that it could not record", async () => {
    const metrics = new Metrics(testBox(), []);
    metrics.observe(agent.live, null, { state: { state: "failing", reason: "ENOSPC", lost: 7 } });
    expect(sum(parse(await metrics.text()), "isha_usage_lost_calls")).toBe(7);
  });
});

it("are marked if some of what they measure is simulated", async () => {
  const journal = { state: { state: "ok" as const, reason: null, lost: 0 } };
  const [real, simulated] = await Promise.all(
    [false, true].map(async (simulated) => {
      const metrics = new Metrics(testBox(), []);
      metrics.observe(agent.live, null, journal, simulated);
      return parse(await metrics.text()).filter(({ name }) => name === "isha_simulated");
    }),
  );
  expect(real).toEqual([]);
  expect(simulated?.map(({ value }) => value)).toEqual([1]);
});

describe("the GPUs", () => {
  const card: Gpu = {
    index: 0,
    uuid: "GPU-a",
    name: "a card",
    memoryTotalGib: 24,
    memoryUsedGib: 6_112 / 1_024,
    utilizationPercent: 37,
    temperatureC: 41,
    powerWatts: 28.41,
  };
  const OF_ONE = [
    "isha_gpu_memory_total_mib 0: 24576",
    "isha_gpu_memory_used_mib 0: 6112",
    "isha_gpu_power_watts 0: 28.41",
    "isha_gpu_temperature_celsius 0: 41",
    "isha_gpu_utilization_ratio 0: 0.37",
  ];

  it("are reported value by value; an unknown value is left out, and the 0 of an idle GPU is kept", async () => {
    const other = { ...card, index: 1, memoryUsedGib: 0, utilizationPercent: 0, temperatureC: 30 };
    expect(await ofCards([card, { ...other, powerWatts: null }])).toEqual(
      [
        ...OF_ONE,
        "isha_gpu_memory_total_mib 1: 24576",
        "isha_gpu_memory_used_mib 1: 0",
        "isha_gpu_temperature_celsius 1: 30",
        "isha_gpu_utilization_ratio 1: 0",
      ].toSorted(),
    );
  });

  it.each<[string, Partial<Gpu>, string]>([
    ["memory in use", { memoryUsedGib: null }, "isha_gpu_memory_used_mib"],
    ["memory", { memoryTotalGib: null }, "isha_gpu_memory_total_mib"],
    ["power", { powerWatts: null }, "isha_gpu_power_watts"],
    ["temperature", { temperatureC: null }, "isha_gpu_temperature_celsius"],
    ["utilization", { utilizationPercent: null }, "isha_gpu_utilization_ratio"],
  ])("are reported without their %s if it is unknown", async (_what, unknown, name) => {
    expect(await ofCards([{ ...card, ...unknown }])).toEqual(OF_ONE.filter((line) => !line.startsWith(name)));
  });

  it("aren't reported if no value is known", async () => {
    expect(await ofCards(null)).toEqual([]);
  });
});

describe("this file's parser", () => {
  const fine = [
    "# HELP a_seconds What it took",
    "# TYPE a_seconds histogram",
    'a_seconds_bucket{le="0.5",port="1"} 1',
    'a_seconds_bucket{le="+Inf",port="1"} 2',
    'a_seconds_sum{port="1"} 0.75',
    'a_seconds_count{port="1"} 2',
    "# HELP b How many",
    "# TYPE b gauge",
    'b{name="with \\"quotes\\", \\\\ and a\\nline"} 3e+2',
    "",
  ];

  it("reads all samples", () => {
    const samples = parse(fine.join("\n"));
    expect(samples).toHaveLength(5);
    expect(samples.at(-1)).toEqual({
      name: "b",
      labels: { name: 'with "quotes", \\ and a\nline' },
      value: 300,
    });
  });

  it.each<[string, number, string]>([
    ["a label without quotes", 8, "b{name=x} 1"],
    ["a label without an end", 8, 'b{name="x} 1'],
    ["no value", 8, 'b{name="x"}'],
    ["a value that isn't a number", 8, 'b{name="x"} many'],
    ["an invalid name", 8, "1b 1"],
    ["an invalid label name", 8, 'b{a-b="x"} 1'],
    ["a sample without a family", 8, "c 1"],
    ["a type of two words", 7, "# TYPE b gauge counter"],
    ["no type", 7, ""],
    ["no help", 6, ""],
    ["buckets that shrink", 3, 'a_seconds_bucket{le="+Inf",port="1"} 0'],
    ["buckets without an end", 3, 'a_seconds_bucket{le="9",port="1"} 2'],
    ["another count", 5, 'a_seconds_count{port="1"} 3'],
    ["no sum", 4, ""],
    ["a duplicate series", 4, 'a_seconds_count{port="1"} 2'],
    ["a last line without an end", 9, "# x"],
  ])("detects %s", (_what, at, line) => {
    expect(() => parse(fine.with(at, line).join("\n"))).toThrow(/./);
  });
});
