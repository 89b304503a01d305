import { describe, expect, it } from "vitest";
import {
  LinkStateMachine,
  STABLE_MS,
  REFUSED_RETRY_MS,
  type LinkAction,
  type LinkEnd,
} from "../../../origin-agent/link/state-machine.ts";
import { LINK_RETRY_MAX_MS, LINK_RETRY_MIN_MS } from "../../../shared/limits.ts";

const BROKEN: LinkEnd = { kind: "closed", code: 1011 };

/** The pause after the last of `times` links in a row, each of which was open for `openMs`. */
function pauseAfter(times: number, openMs: number, end = BROKEN, random = 1): number {
  const machine = new LinkStateMachine(() => random);
  let now = 0;
  let dial = 0;
  const perform = (actions: readonly LinkAction[]): void => {
    for (const action of actions) if (action.kind === "dial") ({ dial } = action);
  };
  perform(machine.start(now));
  for (let ended = 1; ; ended += 1) {
    perform(machine.opened(dial, now));
    now += openMs;
    perform(machine.ended(dial, end, now));
    if (ended === times) return machine.nextAt() - now;
    now = machine.nextAt();
    perform(machine.tick(now));
  }
}

describe("the pause before the next dial", () => {
  it("doubles from the shortest to the longest, with jitter over half of it", () => {
    expect([1, 2, 3].map((times) => pauseAfter(times, 10))).toEqual(
      [1, 2, 4].map((factor) => factor * LINK_RETRY_MIN_MS),
    );
    expect(pauseAfter(50, 10)).toBe(LINK_RETRY_MAX_MS);
    expect(pauseAfter(50, 10, BROKEN, 0)).toBe(LINK_RETRY_MAX_MS / 2);
  });

  it("is long if the edge refuses the link", () => {
    const refused: LinkEnd = { kind: "refused", status: 401 };
    expect(pauseAfter(1, 10, refused, 0)).toBeGreaterThan(LINK_RETRY_MAX_MS);
    expect(pauseAfter(1, 10, refused)).toBe(REFUSED_RETRY_MS);
  });

  it("starts over after a link that stayed open, but not after one that broke at once", () => {
    expect(pauseAfter(3, STABLE_MS)).toBe(LINK_RETRY_MIN_MS);
    expect(pauseAfter(3, 10)).toBe(4 * LINK_RETRY_MIN_MS);
  });
});
