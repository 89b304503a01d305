// Makes calls of which each has a key of its own, so that the ledger's sums by key show each call apart, and compares
// the booked usage with what the simulators report that they really did.
import { expect } from "vitest";
import type { Call } from "../../../shared/call-headers.ts";
import { UsageReport, type UsageSums } from "../../../shared/usage-report.ts";
import type { Finished } from "../../sim/llama/ledger.ts";
import { callAgent, callFor, readStream, type CallAnswer } from "./agent-call.ts";
import { stateOf, type Stack } from "./ask.ts";
import { until } from "../../support/until.ts";

/** The simulators remember a hundred calls each; what they did is looked up this often, in calls made. */
const COLLECT_EVERY = 40;

export interface Made {
  readonly name: string;
  readonly port: number;
  readonly received: CallAnswer;
  /** Events with text; of a server that puts 0, 2 or 3 tokens in one, this is no count of tokens. */
  readonly events: number;
}

export interface CallOptions {
  readonly tokens: number;
  readonly call?: Partial<Call>;
  readonly body?: object;
  /** Leaves after this many events of the answer. */
  readonly leaveAfter?: number;
  /** Leaves when this is aborted. */
  readonly leaving?: AbortController;
}

export class UsageProof {
  readonly made: Made[] = [];
  readonly #stack: Stack;
  /** By port and task. */
  readonly #finished = new Map<string, Finished>();
  #calls = 0;
  readonly #begun = new Set<string>();
  /** Calls whose end an agent may not have lived to note. */
  readonly #cut = new Set<string>();
  #collectedAt = 0;
  #collecting: Promise<void> = Promise.resolve();

  constructor(stack: Stack) {
    this.#stack = stack;
  }

  get ports(): number[] {
    return (this.#stack.boxes[0]?.servers ?? []).map(({ port }) => port);
  }

  /** One call, straight to the agent as its edge would make it. */
  async call(
    port: number,
    { tokens, call = {}, body = {}, leaveAfter, leaving = new AbortController() }: CallOptions,
  ): Promise<Made> {
    const [box] = this.#stack.boxes;
    if (box === undefined) throw new Error("this stack has a box");
    const { boxSecret } = this.#stack;
    const name = `call-${(this.#calls += 1)}`;
    this.#begun.add(name);
    let seen = "";
    const received = await callAgent(
      { agentUrl: box.agentUrl, boxSecret, box: box.name },
      callFor(port, { keyId: name, requestId: `${name}.id`, set: { n_predict: tokens }, ...call }),
      {
        body: { messages: [{ role: "user", content: `Patient ${name}: cough` }], ignore_eos: true, ...body },
        signal: leaving.signal,
        onPiece: (piece) => {
          seen += piece;
          if (leaveAfter !== undefined && eventsWithText(seen) >= leaveAfter) leaving.abort();
        },
      },
    );
    const made = { name, port, received, events: eventsWithText(received.text) };
    this.made.push(made);
    return made;
  }

  /** As `call`, made again while its server takes none: one that was frozen is down for its agent. */
  async callLetIn(port: number, options: CallOptions): Promise<Made> {
    return until(async () => {
      const made = await this.call(port, options);
      return made.received.status === 200 ? made : null;
    }, `${port} takes a call`);
  }

  /** Waits until this many more calls have had an answer. */
  async answered(count: number): Promise<void> {
    const answers = (): number => this.made.filter(({ received }) => received.status === 200).length;
    const before = answers();
    await until(() => answers() >= before + count, `${count} more calls are answered`);
  }

  /** Ends the agent in the middle of its calls. Those that had ended before its last answer are in its journal. */
  async death(kill: () => Promise<void>): Promise<void> {
    const ended = new Set(this.made.map(({ name }) => name));
    await fetch(`${this.#stack.boxes[0]?.agentUrl ?? ""}/healthz`);
    await kill();
    for (const name of this.#begun) if (!ended.has(name)) this.#cut.add(name);
  }

  /** Calls by several clients without pause, until it is over; while there is no agent they try until there is. */
  async load(clients: number, over: () => boolean): Promise<void> {
    const one = async (number: number): Promise<void> => {
      const port = this.ports[number % this.ports.length] ?? 0;
      for (let turn = 0; !over(); turn += 1) {
        const { received } = await this.call(port, {
          tokens: 20 + ((7 * turn) % 40),
          call: { stream: turn % 3 !== 2, format: turn % 2 === 0 ? "openai" : "mediczy" },
        });
        if (received.status === 0) await until(() => over() || this.#isListening(), "the agent listens");
        await this.#collectInTime();
      }
    };
    await Promise.all(Array.from({ length: clients }, (_, number) => one(number)));
  }

  async #isListening(): Promise<boolean> {
    const response = await fetch(`${this.#stack.boxes[0]?.agentUrl ?? ""}/healthz`);
    return response.ok;
  }

  /** All clients wait for it, so that no simulator forgets a call before it was looked up. */
  async #collectInTime(): Promise<void> {
    if (this.made.length - this.#collectedAt >= COLLECT_EVERY) {
      this.#collectedAt = this.made.length;
      this.#collecting = this.collect();
    }
    await this.#collecting;
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

  /** Forgets all calls that were made. */
  async forget(): Promise<void> {
    const servers = this.#stack.boxes.flatMap((box) => box.servers);
    await Promise.all(
      servers.map(({ controlUrl }) => fetch(`${controlUrl ?? ""}/forget`, { method: "POST" })),
    );
    this.made.length = 0;
    this.#finished.clear();
    this.#collectedAt = 0;
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
   */
  async settle(perSecond: number): Promise<Settled> {
    await until(
      async () =>
        (await Promise.all(this.ports.map((port) => stateOf(this.#stack, port)))).every(
          ({ generating }) => generating === 0,
        ),
      "the servers are idle",
    );
    const letIn = this.made.filter(({ received }) => received.status === 200);
    const generated = await until(async () => {
      const known = await this.generated();
      return letIn.every(({ name }) => known.has(name)) ? known : null;
    }, "the servers list every call that was let in");
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
    return judge(this.made, generated, booked, { perSecond, cut: this.#cut });
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
  { perSecond, cut }: { readonly perSecond: number; readonly cut: ReadonlySet<string> },
): Settled {
  const wrongs: string[] = [];
  let [whole, estimated, tokens, tokensBooked, mostOff, calls] = [0, 0, 0, 0, 0, 0];
  for (const { name, received } of made) {
    const sums = booked.get(name);
    const did = generated.get(name) ?? [];
    if (sums === undefined) {
      if (did.length > 0) wrongs.push(`${name}: missing`);
      continue;
    }
    calls += 1;
    if (sums.calls !== 1) wrongs.push(`${name}: booked ${sums.calls} times`);
    const really = did.reduce((sum, { generatedTokens }) => sum + generatedTokens, 0);
    if (isWhole(received) && !(cut.has(name) && sums.complete === 0)) {
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
      if (sums.complete !== 0 && !cut.has(name)) wrongs.push(`${name}: booked as whole`);
      if (sums.complete === 0 && sums.estimatedCalls !== 1) wrongs.push(`${name}: not marked as estimated`);
      if (cut.has(name)) continue;
      const off = Math.abs(sums.completionTokens - really);
      mostOff = Math.max(mostOff, off);
      if (off > perSecond) wrongs.push(`${name}: ${sums.completionTokens} estimated, ${really} made`);
    }
  }
  expect(wrongs).toEqual([]);
  return { calls, whole, estimated, tokens, tokensBooked, mostOff };
}

function eventsWithText(text: string): number {
  return text.split("\n\n").filter((event) => /"(content|text)":"[^"]/.test(event)).length;
}

function isWhole(received: CallAnswer): boolean {
  if (received.status !== 200 || received.ended !== "whole") return false;
  const isStream = String(received.headers["content-type"]).startsWith("text/event-stream");
  return isStream ? readStream(received.text).dones === 1 : !received.text.includes('"error"');
}
