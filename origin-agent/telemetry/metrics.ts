// Counts calls, tokens and times for Prometheus. All label values come from the fleet file or from closed sets; any other
// name becomes `other`, so that a client can't create a series.
import { Gauge, Histogram, Registry } from "prom-client";
import type { Call } from "../../shared/call-headers.ts";
import type { Box } from "../../shared/fleet.ts";
import { outcomeOf, type CallReport } from "../calls/report.ts";
import type { HealthState } from "../health/cause.ts";
import type { LiveBox } from "../servers/box.ts";
import type { GpuProbe } from "../probes/gpu.ts";
import type { UsageJournal } from "../usage/journal.ts";
import { SummedCounter } from "./summed-counter.ts";

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60, 120, 300];
const FREE_SECONDS = [0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 5, 30];
const STATES: readonly HealthState[] = ["down", "loading", "ready", "slow", "stalled"];

export class Metrics {
  readonly #registry = new Registry();
  readonly #agentTypes: ReadonlySet<string>;
  readonly #requests: SummedCounter;
  readonly #tokens: SummedCounter;
  readonly #recoveries: SummedCounter;
  readonly #firstToken: Histogram<"port">;
  readonly #token: Histogram<"port">;
  readonly #queue: Histogram<"port">;
  readonly #abortToFree: Histogram<"port">;

  constructor(box: Box, agentTypes: Iterable<string>) {
    const registers = [this.#registry];
    this.#agentTypes = new Set(agentTypes);
    this.#registry.setDefaultLabels({ box: box.name });
    const labelled = (name: string, help: string, ...labelNames: string[]): SummedCounter =>
      new SummedCounter(name, help, labelNames, registers);
    this.#requests = labelled(
      "isha_requests_total",
      "Ended calls by outcome",
      "port",
      "agent_type",
      "outcome",
      "code",
    );
    this.#tokens = labelled("isha_tokens_total", "Tokens of finished calls", "port", "kind");
    this.#recoveries = labelled("isha_recoveries_total", "Retries after a server broke off", "port", "kind");
    const timed = (name: string, help: string, buckets: number[]): Histogram<"port"> =>
      new Histogram({ name, help, labelNames: ["port"], buckets, registers });
    this.#firstToken = timed(
      "isha_time_to_first_token_seconds",
      "Time from a streamed call's arrival to the first event of its answer",
      SECONDS,
    );
    this.#token = timed("isha_inter_token_seconds", "Mean time between tokens of an answer", FREE_SECONDS);
    this.#queue = timed("isha_queue_seconds", "Time from a call's arrival until it got a slot", SECONDS);
    this.#abortToFree = timed(
      "isha_abort_to_free_seconds",
      "Time from an abort to the proof that its slot is idle",
      FREE_SECONDS,
    );
  }

  /** Registers the gauges that are read on each scrape: slots, queue, server states, unrecorded calls, GPUs. */
  observe(
    live: LiveBox,
    gpu: GpuProbe | null,
    journal: Pick<UsageJournal, "state">,
    simulated = false,
  ): void {
    const gauge = <T extends string>(
      name: string,
      help: string,
      labelNames: T[],
      collect: (set: Gauge<T>) => void,
    ): void => {
      const read = new Gauge({
        name,
        help,
        labelNames,
        registers: [],
        collect: () => {
          read.reset();
          collect(read);
        },
      });
      this.#registry.registerMetric(read);
    };
    gauge("isha_slots", "Slots of a server by use", ["port", "use"], (set) => {
      for (const [port, { slots }] of live.servers) {
        for (const use of ["free", "leased", "awaiting", "foreign"] as const)
          set.set({ port, use }, slots[use]);
      }
    });
    gauge("isha_queued", "Calls waiting for a slot by priority", ["priority"], (set) => {
      for (const [priority, count] of Object.entries(live.dispatch.waiting())) set.set({ priority }, count);
    });
    gauge(
      "isha_server_state",
      "1 for the server's current state, 0 for the others",
      ["port", "state"],
      (set) => {
        for (const [port, server] of live.servers) {
          const { state } = server.view();
          for (const known of STATES) set.set({ port, state: known }, known === state ? 1 : 0);
        }
      },
    );
    gauge("isha_usage_lost_calls", "Calls that the failing usage journal could not record", [], (set) =>
      set.set(journal.state.lost),
    );
    if (simulated) {
      const help = "1: some servers or GPUs of this box are simulated, and so are their figures";
      gauge("isha_simulated", help, [], (set) => set.set(1));
    }
    this.#observeGpu(gauge, gpu);
  }

  /** An unknown value is left out, not reported as 0. */
  #observeGpu(
    gauge: (name: string, help: string, labelNames: "gpu"[], collect: (set: Gauge<"gpu">) => void) => void,
    gpu: GpuProbe | null,
  ): void {
    const read = (
      name: string,
      help: string,
      valueOf: (card: NonNullable<ReturnType<GpuProbe["latest"]>["gpus"]>[number]) => number | null,
    ): void =>
      gauge(name, help, ["gpu"], (set) => {
        for (const card of gpu?.latest().gpus ?? []) {
          const value = valueOf(card);
          if (value !== null) set.set({ gpu: String(card.index) }, value);
        }
      });
    read("isha_gpu_memory_used_mib", "GPU memory in use", (card) => mib(card.memoryUsedGib));
    read("isha_gpu_memory_total_mib", "GPU memory in total", (card) => mib(card.memoryTotalGib));
    read("isha_gpu_utilization_ratio", "Share of time the GPU was busy", (card) =>
      card.utilizationPercent === null ? null : card.utilizationPercent / 100,
    );
    read("isha_gpu_temperature_celsius", "GPU temperature", (card) => card.temperatureC);
    read("isha_gpu_power_watts", "GPU power draw", (card) => card.powerWatts);
  }

  ended(call: Call, report: CallReport, ms: number): void {
    const port = report.port === null ? "none" : String(report.port);
    const agentType = this.#agentTypes.has(call.agentType) ? call.agentType : "other";
    this.#requests.add(1, port, agentType, outcomeOf(report), report.refusal?.code ?? "none");
    this.#queue.observe({ port }, report.queueMs / 1000);
    // The first byte of an unstreamed answer arrives with its last token.
    if (call.stream && report.firstByteMs !== null)
      this.#firstToken.observe({ port }, report.firstByteMs / 1000);
    if (report.replays > 0) this.#recoveries.add(report.replays, port, "replay");
    if (report.continuations > 0) this.#recoveries.add(report.continuations, port, "continuation");
    if (report.counts === null) return;
    const { promptTokens, cachedTokens, completionTokens } = report.counts;
    this.#tokens.add(promptTokens, port, "prompt");
    this.#tokens.add(cachedTokens, port, "cached");
    this.#tokens.add(completionTokens + report.otherChoiceTokens, port, "completion");
    if (call.stream && report.firstByteMs !== null && completionTokens > 1) {
      this.#token.observe({ port }, (ms - report.firstByteMs) / (completionTokens - 1) / 1000);
    }
  }

  abortProved(port: number, tookMs: number): void {
    this.#abortToFree.observe({ port: String(port) }, tookMs / 1000);
  }

  /** In Prometheus' text format, version 0.0.4. */
  async text(): Promise<string> {
    return this.#registry.metrics();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }
}

const mib = (gib: number | null): number | null => (gib === null ? null : gib * 1_024);
