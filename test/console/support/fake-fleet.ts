// A simulated fleet: changing figures, servers that can be killed, boxes that can fall silent. Its data passes the
// contract's schemas, so that the page is tested only against what the edge may send.
import shipped from "../../../fleet.config.ts";
import {
  FleetHistory,
  FleetView,
  type FleetEvent,
  type FleetServerView,
} from "../../../shared/fleet-view.ts";
import { gpuMemoryGib } from "../../../shared/gpu-memory.ts";
import type { Failure } from "../../../shared/failures.ts";
import { SeededRandom } from "../../support/seeded-random.ts";

type Box = FleetView["boxes"][number];

const HOUR_MS = 60 * 60 * 1000;

/** A long name; operators may use up to 128 characters. */
export const LONG_NAME = "frankfurt-rack-07-unit-12-with-a-rather-long-name-that-describes-the-location";

export class FakeFleet {
  readonly #random: SeededRandom;
  readonly #clock: () => number;
  readonly boxes: Box[];
  readonly events: FleetEvent[] = [];
  readonly failures: Failure[] = [];
  readonly alarms: FleetView["alarms"] = [];
  readonly groups: NonNullable<FleetView["failureGroups"]> = [];
  traffic: FleetView["traffic"];

  constructor(clock: () => number, { names = ["box1"], seed = 7 }: { names?: string[]; seed?: number } = {}) {
    this.#clock = clock;
    this.#random = new SeededRandom(seed);
    this.boxes = names.map((name) => this.#newBox(name));
    this.traffic = { windowS: 300, byAgent: [], byCode: [], fallbacks: 0, recoveries: 0 };
    this.tick();
  }

  #newBox(name: string): Box {
    const [box] = shipped.boxes;
    const now = this.#clock();
    return {
      name,
      gpu: box?.gpu ?? "",
      vramGib: box?.vramGib ?? 24,
      state: "up",
      lastSeenAt: now,
      version: "0.1.0",
      agents: 1,
      warning: null,
      gpus: [],
      servers: (box?.servers ?? []).map((server) => ({
        port: server.port,
        pm2: server.pm2,
        model: server.model,
        agents: server.agents,
        state: "ready",
        why: "",
        since: now - 5 * HOUR_MS,
        slots: server.slots,
        busy: 0,
        waiting: 0,
        places: server.slots * 16,
        waitMs: null,
        tokensPerSecond: 0,
        firstTokenP50Ms: 310,
        firstTokenP95Ms: 1450,
        gpuGib: gpuMemoryGib(server).total * 0.985,
        budgetGib: gpuMemoryGib(server).total,
        restarts: 0,
      })),
      usageBehindMs: 400,
    };
  }

  box(name = this.boxes[0]?.name): Box {
    const found = this.boxes.find((box) => box.name === name);
    if (found === undefined) throw new Error(`no box ${name}`);
    return found;
  }

  server(port: number, box?: string): FleetServerView {
    const found = this.box(box).servers.find((server) => server.port === port);
    if (found === undefined) throw new Error(`no server ${port}`);
    return found;
  }

  addEvent(level: FleetEvent["level"], text: string, at = this.#clock(), box: string | null = "box1"): void {
    this.events.unshift({ id: this.events.length + 1, at, box, port: null, level, text });
  }

  /** The server dies, and PM2 restarts it. */
  kill(port: number, box?: string): void {
    const down = { why: "PM2 restarts it", since: this.#clock(), busy: 0, tokensPerSecond: null, gpuGib: 0 };
    Object.assign(this.server(port, box), { state: "down", ...down });
    this.addEvent("bad", `${port} went down`, this.#clock(), box ?? this.box().name);
  }

  silence(name: string, forMs: number): void {
    const box = this.box(name);
    Object.assign(box, { state: "silent", lastSeenAt: this.#clock() - forMs, agents: 0, gpus: null });
    for (const server of box.servers) {
      Object.assign(server, { state: "unknown", since: null, busy: 0, waiting: 0, tokensPerSecond: null });
      Object.assign(server, { firstTokenP50Ms: null, firstTokenP95Ms: null, gpuGib: null, restarts: null });
    }
  }

  /** Updates the figures. */
  tick(): void {
    for (const box of this.boxes) {
      if (box.state !== "up") continue;
      box.lastSeenAt = this.#clock();
      for (const server of box.servers.filter(({ state }) => state === "ready")) {
        server.busy = this.#random.below(server.slots + 1);
        server.tokensPerSecond = server.busy * (28 + this.#random.next() * 10);
        server.waiting = server.busy === server.slots ? this.#random.below(4) : 0;
        server.waitMs = server.waiting > 0 ? server.waiting * 2400 : null;
      }
      box.gpus = [this.#card(box)];
    }
  }

  #card(box: Box): NonNullable<Box["gpus"]>[number] {
    const used = box.servers.reduce((sum, { gpuGib }) => sum + (gpuGib ?? 0), 0);
    return {
      name: box.gpu,
      memoryUsedGib: used + 0.3,
      memoryTotalGib: box.vramGib,
      utilizationPercent: Math.round(40 + this.#random.next() * 50),
      temperatureC: Math.round(62 + this.#random.next() * 8),
      powerWatts: Math.round(240 + this.#random.next() * 80),
    };
  }

  view(): FleetView {
    const { boxes, traffic, failures, groups: failureGroups, events, alarms } = this;
    return FleetView.parse({ at: this.#clock(), boxes, traffic, failures, failureGroups, events, alarms });
  }

  history(name: string, minutes: number): FleetHistory {
    const box = this.box(name);
    const stepS = minutes > 60 ? 300 : 10;
    const steps = Math.floor((minutes * 60) / stepS);
    const now = this.#clock();
    const random = new SeededRandom(minutes);
    const wave = (middle: number, width: number, index: number): number =>
      middle + width * Math.sin(index / 7) + (random.next() - 0.5) * width;
    const column = (of: (index: number) => number | null): (number | null)[] =>
      // A gap, as during an agent's restart.
      Array.from({ length: steps }, (_, index) => (index > 30 && index < 35 ? null : of(index)));
    return FleetHistory.parse({
      box: name,
      stepS,
      at: Array.from({ length: steps }, (_, index) => now - (steps - index) * stepS * 1000),
      memoryUsedGib: column(() => 23),
      utilizationPercent: column((index) => Math.min(100, Math.max(0, wave(62, 25, index)))),
      temperatureC: column((index) => wave(66, 3, index)),
      powerWatts: column((index) => wave(270, 40, index)),
      tokensPerSecond: column((index) => Math.max(0, wave(120, 60, index))),
      busy: column((index) => Math.round(Math.max(0, wave(4, 3, index)))),
      waiting: column(() => random.below(3)),
      serverGib: Object.fromEntries(
        box.servers.map(({ port, budgetGib }) => [
          String(port),
          column((index) => (port === 8085 && index > 60 && index < 66 ? 0 : budgetGib * 0.985)),
        ]),
      ),
    });
  }
}
