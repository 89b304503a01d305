// `/metrics` as Prometheus reads it: every line is one of the text format's, every label's values are bounded.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SimulatedServer } from "../sim/start.ts";
import { answered, ask } from "./ask.ts";
import { startAgent, startSimulator, WANTED, type TestAgent } from "./box.ts";

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

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const LABEL = `[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"`;
const SAMPLE = new RegExp(
  `^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)\\})? (NaN|[+-]Inf|[+-]?[0-9.]+(?:e[+-]?[0-9]+)?)$`,
);
const COMMENT = new RegExp(`^# (HELP ${NAME} .*|TYPE ${NAME} (counter|gauge|histogram|summary|untyped))$`);

/** Throws where a line is none of the text format 0.0.4, a series stands twice, or a sample has no TYPE before it. */
function parse(text: string): Sample[] {
  if (!text.endsWith("\n")) throw new Error("the last line must end");
  const types = new Set<string>();
  const seen = new Set<string>();
  const samples: Sample[] = [];
  for (const line of text.split("\n")) {
    if (line === "") continue;
    if (line.startsWith("#")) {
      if (!COMMENT.test(line)) throw new Error(`no comment of the format: ${line}`);
      const [, kind, name = ""] = line.split(" ");
      if (kind === "TYPE") types.add(name);
      continue;
    }
    const [, name = "", labels = "", value = ""] = SAMPLE.exec(line) ?? [];
    if (name === "") throw new Error(`no sample of the format: ${line}`);
    if (!types.has(name) && !types.has(name.replace(/_(bucket|sum|count)$/, "")))
      throw new Error(`no type: ${line}`);
    if (seen.has(`${name}{${labels}}`)) throw new Error(`twice: ${line}`);
    seen.add(`${name}{${labels}}`);
    const pairs = [...labels.matchAll(/([a-zA-Z0-9_]+)="((?:[^"\\]|\\.)*)"/g)].map(
      ([, key = "", of = ""]) => [key, of] as const,
    );
    samples.push({
      name,
      labels: Object.fromEntries(pairs),
      value: Number(value.replace("Inf", "Infinity")),
    });
  }
  return samples;
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
  it("counts calls, tokens and times, in Prometheus' own format", async () => {
    await answered(agent.port, { call: { stream: true } });
    await answered(agent.port, { body: { n: 9 } });
    const samples = await metrics();
    expect(sum(samples, "isha_requests_total", { port: "9101", outcome: "answered", code: "none" })).toBe(1);
    expect(sum(samples, "isha_requests_total", { outcome: "refused", code: "invalid_request" })).toBe(1);
    expect(sum(samples, "isha_tokens_total", { kind: "completion" })).toBeGreaterThan(1);
    expect(sum(samples, "isha_queue_seconds_count")).toBe(2);
    expect(sum(samples, "isha_slots", { port: "9101" })).toBe(2);
    expect(sum(samples, "isha_server_state", { port: "9101", state: "ready" })).toBe(1);
    expect(sum(samples, "isha_server_state", { port: "9102", state: "down" })).toBe(1);
    expect(samples.every(({ labels }) => labels["box"] === "north")).toBe(true);
    // Nobody knows the card here: left out, not 0.
    expect(samples.filter(({ name }) => name.startsWith("isha_gpu_"))).toEqual([]);
  });

  it("gives names from outside the fleet file no series of their own", async () => {
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

  it("times an abort until its slot is proved free", async () => {
    await simulator.set({ stall: true });
    const asked = ask(agent.port, { call: { stream: true } });
    await simulator.until((state) => state.generating === 1);
    asked.leave();
    await expect.poll(async () => sum(await metrics(), "isha_abort_to_free_seconds_count")).toBe(1);
    await simulator.set({ stall: false });
  });
});
