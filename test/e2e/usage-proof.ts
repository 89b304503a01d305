// Makes calls of which each has a key of its own, so that the ledger's sums by key tell each call apart, and holds
// what is booked against what the simulators say they really did.
import { expect } from "vitest";
import type { Call } from "../../shared/call-headers.ts";
import { UsageReport, type UsageSums } from "../../shared/usage-report.ts";
import type { Finished } from "../sim/llama/ledger.ts";
import { callAgent, callFor, readStream, type Told } from "./agent/agent-call.ts";
import { stateOf, type Stack } from "./ask.ts";
import { until } from "../support/until.ts";

/** How long usage may take to be in the ledger: an edge that was killed must come up, and be dialled again. */
const BOOKED_WITHIN_MS = 60_000;

/** A call whose answer ended this close to its agent's death may have been cut off before its end was noted. */
const CLOSE_MS = 100;

export interface Made {
  readonly name: string;
  readonly port: number;
  readonly told: Told;
  readonly endedAt: number;
  /** Events with text; of a server that puts 0, 2 or 3 tokens in one, this is no count of tokens. */
  readonly events: number;
}

export interface CallOptions {
  readonly tokens: number;
  readonly call?: Partial<Call>;
  readonly body?: object;
  /** Leaves after so many pieces of the answer. */
  readonly leaveAfter?: number;
}

export class UsageProof {
  readonly made: Made[] = [];
  readonly #stack: Stack;
  /** By port and task. */
  readonly #finished = new Map<string, Finished>();
  #calls = 0;

  constructor(stack: Stack) {
    this.#stack = stack;
  }

  get ports(): number[] {
    return (this.#stack.boxes[0]?.servers ?? []).map(({ port }) => port);
  }

  /** One call, straight to the agent as its edge would make it. */
  async call(port: number, { tokens, call = {}, body = {}, leaveAfter }: CallOptions): Promise<Made> {
    const [box] = this.#stack.boxes;
    if (box === undefined) throw new Error("this stack has a box");
    const { boxSecret } = this.#stack;
    const name = `call-${(this.#calls += 1)}`;
    const leaving = new AbortController();
    let pieces = 0;
    const told = await callAgent(
      { agentUrl: box.agentUrl, boxSecret, box: box.name },
      callFor(port, { keyId: name, requestId: `${name}.id`, set: { n_predict: tokens }, ...call }),
      {
        body: { messages: [{ role: "user", content: `Patient ${name}: cough` }], ignore_eos: true, ...body },
        signal: leaving.signal,
        onPiece: () => {
          pieces += 1;
          if (pieces === leaveAfter) leaving.abort();
        },
      },
    );
    const events = told.text.split("\n\n").filter((event) => /"(content|text)":"[^"]/.test(event)).length;
    const made = { name, port, told, endedAt: performance.now(), events };
    this.made.push(made);
    return made;
  }

  /** Calls by several clients without pause, until it is over; where there is no agent they knock until there is. */
  async load(clients: number, over: () => boolean): Promise<void> {
    const one = async (number: number): Promise<void> => {
      const port = this.ports[number % this.ports.length] ?? 0;
      for (let turn = 0; !over(); turn += 1) {
        const { told } = await this.call(port, {
          tokens: 20 + ((7 * turn) % 40),
          call: { stream: turn % 3 !== 2, format: turn % 2 === 0 ? "openai" : "mediczy" },
        });
        if (told.status === 0) await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    await Promise.all(Array.from({ length: clients }, (_, number) => one(number)));
  }

  /** Looks up what the simulators did since the last look. */
  async collect(): Promise<void> {
    for (const port of this.ports) {
      const { finished } = await stateOf(this.#stack, port);
      for (const one of finished) this.#finished.set(`${port} ${one.task}`, one);
    }
  }

  /** What the simulators did, by call. */
  async generated(): Promise<ReadonlyMap<string, readonly Finished[]>> {
    await this.collect();
    return Map.groupBy(
      [...this.#finished.values()].filter(({ receivedBody }) => receivedBody.includes("Patient call-")),
      ({ receivedBody }) => /Patient (call-\d+):/.exec(receivedBody)?.[1] ?? "",
    );
  }

  /** Begins anew: nothing was made yet. */
  async forget(): Promise<void> {
    const servers = this.#stack.boxes.flatMap((box) => box.servers);
    await Promise.all(
      servers.map(({ controlUrl }) => fetch(`${controlUrl ?? ""}/forget`, { method: "POST" })),
    );
    this.made.length = 0;
    this.#finished.clear();
  }

  /** What is in the ledger, by call; null while the edge doesn't say. */
  async booked(): Promise<ReadonlyMap<string, UsageSums> | null> {
    const response = await fetch(`${this.#stack.edgeUrl}/admin/usage?by=key`, {
      headers: { authorization: "Bearer dev-admin" },
    }).catch(() => null);
    if (response?.status !== 200) return null;
    const { rows } = UsageReport.parse(await response.json());
    return new Map(rows.map(({ group, ...sums }) => [group, sums]));
  }

  /**
   * Waits until all that reached a server is in the ledger, and holds each call against it.
   * @param perSecond tokens a slot makes in a second, by which the estimate of a call without its end may be off
   * @param deaths when an agent died
   */
  async settle(perSecond: number, deaths: readonly number[] = []): Promise<Settled> {
    await until(
      async () =>
        (await Promise.all(this.ports.map((port) => stateOf(this.#stack, port)))).every(
          ({ generating }) => generating === 0,
        ),
      "the servers are idle",
    );
    const generated = await this.generated();
    let booked: ReadonlyMap<string, UsageSums> = new Map();
    const missing = (): string[] => [...generated.keys()].filter((name) => !booked.has(name));
    await until(async () => {
      booked = (await this.booked()) ?? booked;
      return missing().length === 0;
    }, "every call is in the ledger").catch((error: unknown) => {
      throw new Error(
        `${String(error)}: ${missing().length} of ${generated.size} are missing: ${missing().join(" ")}`,
      );
    });
    return judge(this.made, generated, booked, { perSecond, deaths });
  }
}

export interface Settled {
  readonly calls: number;
  readonly whole: number;
  readonly estimated: number;
  /** Of the whole ones, over all of them. */
  readonly tokens: number;
  readonly tokensBooked: number;
  readonly mostOff: number;
}

function judge(
  made: readonly Made[],
  generated: ReadonlyMap<string, readonly Finished[]>,
  booked: ReadonlyMap<string, UsageSums>,
  { perSecond, deaths }: { readonly perSecond: number; readonly deaths: readonly number[] },
): Settled {
  const wrongs: string[] = [];
  let [whole, estimated, tokens, tokensBooked, mostOff, calls] = [0, 0, 0, 0, 0, 0];
  for (const { name, told, endedAt } of made) {
    const sums = booked.get(name);
    const did = generated.get(name) ?? [];
    if (sums === undefined) {
      if (did.length > 0) wrongs.push(`${name}: missing`);
      continue;
    }
    calls += 1;
    if (sums.calls !== 1) wrongs.push(`${name}: booked ${sums.calls} times`);
    const really = did.reduce((sum, { generatedTokens }) => sum + generatedTokens, 0);
    const dying = deaths.some((at) => Math.abs(at - endedAt) < CLOSE_MS);
    if (isWhole(told) && !(dying && sums.complete === 0)) {
      whole += 1;
      tokens += really;
      tokensBooked += sums.completionTokens;
      const [only] = did;
      const expected = [1, 0, only?.promptTokens, only?.cachedTokens, only?.generatedTokens];
      const found = [
        sums.complete,
        sums.estimatedCalls,
        sums.promptTokens,
        sums.cachedTokens,
        sums.completionTokens,
      ];
      if (did.length !== 1 || String(found) !== String(expected))
        wrongs.push(`${name}: booked ${String(found)}, and the server did ${String(expected)}`);
    } else {
      estimated += 1;
      if (sums.complete !== 0 && !deaths.length) wrongs.push(`${name}: booked as whole`);
      if (sums.complete === 0 && sums.estimatedCalls !== 1) wrongs.push(`${name}: not said to be estimated`);
      if (deaths.length > 0) continue;
      const off = Math.abs(sums.completionTokens - really);
      mostOff = Math.max(mostOff, off);
      if (off > perSecond) wrongs.push(`${name}: ${sums.completionTokens} estimated, ${really} made`);
    }
  }
  expect(wrongs).toEqual([]);
  return { calls, whole, estimated, tokens, tokensBooked, mostOff };
}

function isWhole(told: Told): boolean {
  if (told.status !== 200 || told.ended !== "whole") return false;
  const isStream = String(told.headers["content-type"]).startsWith("text/event-stream");
  return isStream ? readStream(told.text).dones === 1 : !told.text.includes('"error"');
}
