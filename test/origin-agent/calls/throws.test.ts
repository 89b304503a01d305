// Checks that a fault of our own in any step of a call becomes the client's error, and leaves no slot, memory or usage
// record behind.
import { afterEach, describe, expect, it, vi } from "vitest";
import { ClientAnswer } from "../../../origin-agent/answers/client-answer.ts";
import { ChatRecorder } from "../../../origin-agent/answers/recorder.ts";
import { AnswerStream } from "../../../origin-agent/answers/stream.ts";
import { RetryBudget } from "../../../origin-agent/calls/retry-budget.ts";
import { RunningCall } from "../../../origin-agent/servers/running-call.ts";
import { Upstream } from "../../../origin-agent/servers/upstream-sockets.ts";
import type { Switches } from "../../sim/llama/switches.ts";
import { until } from "../../support/until.ts";
import { answered, errorOf } from "../support/ask.ts";
import { WANTED } from "../support/box.ts";
import { oneServer } from "./support/servers.ts";

const { simulator, agent } = await oneServer();
afterEach(() => void vi.restoreAllMocks());

/** Text that only an exception's message contains. */
const MARKER = "Marker-Words-Of-A-Patient";

const CUT: Partial<Switches> = { cutAfterTokens: 3, faultTimes: 1 };

interface Step {
  readonly of: object;
  readonly method: string;
  readonly stream: boolean;
  readonly switches?: Partial<Switches>;
  /** Whether the client has its whole answer by then. */
  readonly isAnswered?: boolean;
}

const STEPS: Readonly<Record<string, Step>> = {
  "before it is sent": { of: ClientAnswer.prototype, method: "accept", stream: false },
  "as it is sent": { of: Upstream.prototype, method: "send", stream: false },
  "at an answer's headers": { of: AnswerStream.prototype, method: "begin", stream: true },
  "at a stream's events": { of: AnswerStream.prototype, method: "push", stream: true },
  "at the first bytes": { of: RunningCall.prototype, method: "progressed", stream: false },
  "at a stream's end": { of: ClientAnswer.prototype, method: "endStream", stream: true },
  "at the end of a JSON answer": { of: ClientAnswer.prototype, method: "endJson", stream: false },
  "as its slot is freed": { of: RunningCall.prototype, method: "finish", stream: false, isAnswered: true },
  "as its server is asked after a break": {
    of: RunningCall.prototype,
    method: "isUp",
    stream: false,
    switches: CUT,
  },
  "at the decision to send it again": {
    of: RetryBudget.prototype,
    method: "spend",
    stream: false,
    switches: CUT,
  },
  "as it is continued": { of: ChatRecorder.prototype, method: "text", stream: true, switches: CUT },
  "after its server rejected it": {
    of: RunningCall.prototype,
    method: "refused",
    stream: true,
    switches: { fault: "echo500" },
  },
};

describe("a call that meets an exception", () => {
  it.each(Object.entries(STEPS))("%s ends with an error and keeps nothing", async (_when, step) => {
    await simulator.set(step.switches ?? {});
    const calls = agent.calls().length;
    vi.spyOn(step.of as Record<string, () => unknown>, step.method).mockImplementationOnce(() => {
      throw new TypeError(MARKER);
    });
    const answer = await answered(agent.port, { call: { stream: step.stream, fallbackPorts: [] } });
    if (step.isAnswered === true) expect(answer.status).toBe(200);
    else expect(errorOf(answer).code).toBe("internal");
    await until(() => agent.calls().length === calls + 1);
    expect(agent.calls()[calls]).toMatchObject({ code: "internal", cause: "TypeError" });
    const { slots } = agent.live.servers.get(WANTED) ?? {};
    if (slots === undefined) throw new Error("the agent of this test has this server");
    await until(() => agent.live.servers.get(WANTED)?.slots.free === slots.total);
    expect(agent.bodies.bytes).toBe(0);
    expect(agent.booked.filter(({ end }) => end === null)).toEqual([]);
    expect(agent.log.join("")).not.toContain(MARKER);
    await simulator.set({ fault: null });
    expect((await answered(agent.port)).status).toBe(200);
  });

  it("as its usage is booked is not sent, and the next one is", async () => {
    vi.spyOn(agent.booked as unknown[], "push").mockImplementationOnce(() => {
      throw new TypeError(MARKER);
    });
    expect(errorOf(await answered(agent.port)).code).toBe("internal");
    await until(() => agent.live.servers.get(WANTED)?.slots.free === 2);
    expect((await answered(agent.port)).status).toBe(200);
  });
});
