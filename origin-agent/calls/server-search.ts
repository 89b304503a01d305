// Finds a server for one try of a call: which ports to ask, in which order, and how long to wait for each. It sends
// nothing; `servers/dispatch.ts` grants the slots.
import type { Call } from "../../shared/call-headers.ts";
import { DIALECTS } from "../../shared/dialects.ts";
import { LOAD_WAIT_MS, RESUME_WAIT_MS } from "../../shared/limits.ts";
import type { ClientAnswer } from "../answers/client-answer.ts";
import type { Dispatch, Placement } from "../servers/dispatch.ts";
import type { EndSignal } from "../servers/end-signal.ts";
import { waitText } from "./wait-text.ts";

/** If a call queued for longer than this at a fallback that then failed, its own servers may be up again. */
const SEARCH_AGAIN_AFTER_MS = 100;

export interface SearchInput {
  readonly call: Call;
  readonly answer: ClientAnswer;
  readonly dispatch: Dispatch;
  /** The model of a port in this box's fleet file; null for a port that the box doesn't have. */
  readonly modelOf: (port: number) => string | null;
  /** Ends the call from outside; its reason is a `Refusal`, possibly `CLIENT_LEFT`. */
  readonly signal: EndSignal;
  /** Monotonic. */
  readonly clock: () => number;
}

interface PlaceOptions {
  readonly patient: boolean;
  /** Whether a server may have begun the call. */
  readonly started: boolean;
  /** What the request takes of a server; by default what the call's dialect takes. */
  readonly slots?: (typeof DIALECTS)[Call["dialect"]]["slots"];
}

export class ServerSearch {
  readonly #input: SearchInput;
  readonly #arrivedAt: number;

  constructor(input: SearchInput, arrivedAt: number) {
    this.#input = input;
    this.#arrivedAt = arrivedAt;
  }

  /**
   * Tries the ports that the edge named and waits for one that is loading; then tries the fallbacks in order, and takes
   * the first that is up and has room.
   * @param started whether a server may have begun the call.
   * @param avoidPort a port that gets the call only if no other one can take it; null for none.
   */
  async anyServer(started: boolean, avoidPort: number | null): Promise<Placement> {
    const { call, clock } = this.#input;
    const allowed = (port: number): boolean => port !== avoidPort;
    for (;;) {
      const first = await this.#place(call.ports.filter(allowed), LOAD_WAIT_MS, { patient: false, started });
      if (first.kind !== "none") return first;
      const searchedAt = clock();
      let full: Placement | null = null;
      for (const port of call.fallbackPorts.filter(allowed)) {
        const placed = await this.#place([port], 0, { patient: false, started });
        if (placed.kind === "refused" && clock() - searchedAt < SEARCH_AGAIN_AFTER_MS) full ??= placed;
        else if (placed.kind !== "none") return placed;
      }
      if (full === null && avoidPort !== null) return this.anyServer(started, null);
      if (full !== null || clock() - searchedAt < SEARCH_AGAIN_AFTER_MS) return full ?? first;
    }
  }

  /**
   * Finds a server that can continue the answer: only one of the same model may. It waits for that model while PM2
   * restarts it.
   * @param lastPort the port whose server broke off.
   */
  sameModel(lastPort: number | null, started: boolean): Promise<Placement> {
    const { call, modelOf } = this.#input;
    const model = lastPort === null ? null : modelOf(lastPort);
    const ports = [...new Set([...call.ports, ...call.fallbackPorts])].filter(
      (port) => modelOf(port) === model,
    );
    return this.#place(ports, RESUME_WAIT_MS, { patient: ports.length > 0, started });
  }

  /** Waits for room to send a request to one of a server's token routes. */
  tokenTurn(port: number): Promise<Placement> {
    return this.#place([port], 0, { patient: false, started: true, slots: "none" });
  }

  #place(
    ports: readonly number[],
    waitMs: number,
    { patient, started, slots = DIALECTS[this.#input.call.dialect].slots }: PlaceOptions,
  ): Promise<Placement> {
    const { call, dispatch, signal, clock, answer } = this.#input;
    return dispatch.place({
      call,
      ports,
      slots,
      waitMs,
      patient,
      deadlineAt: this.#arrivedAt + call.deadlineMs,
      begun: started,
      signal,
      onWait: (waitsFor) => {
        answer.accept(clock());
        answer.waitsFor(() => waitText(waitsFor()));
      },
    });
  }
}
