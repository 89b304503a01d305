// Several processes of one box's agent in the fleet object: a successor, two with one name, and which drain holds.
import { beforeEach, describe, expect, it } from "vitest";
import { dial, hello, linked, linkServer, newFleet, snapshot, type Agent } from "../../support/agents.ts";
import { stopClock } from "../../support/edge.ts";
import { untilHolds } from "../../support/until.ts";

/** Far ahead of the real clock, by which the platform runs alarms: none runs here. */
const START = Date.parse("2096-11-23T12:00:00Z");
let clock: ReturnType<typeof stopClock>;
beforeEach(() => void (clock = stopClock(START)));

describe("the report of a box", () => {
  it("lists a successor from its hello on, before its first snapshot and its first call", async () => {
    const fleet = newFleet();
    const old = await linked(fleet, "north", "epoch-1");
    old.send(snapshot(1));
    clock.to(START + 1_000);
    await linked(fleet, "north", "epoch-2");
    const report = () =>
      fleet.boxes().then(([box]) => box?.agents.map(({ epoch, snapshot: of }) => [epoch, of?.seq]));
    await untilHolds(async () =>
      expect(await report()).toEqual([
        ["epoch-2", undefined],
        ["epoch-1", 1],
      ]),
    );
    const view = await fleet.state(["north"]);
    expect(view.reports[0]?.agents).toHaveLength(2);
  });

  it("of two processes that take calls under one name is the newest one's, and both have a warning", async () => {
    const fleet = newFleet();
    const [first, second] = [
      await linked(fleet, "north", "epoch-1"),
      await linked(fleet, "north", "epoch-2"),
    ];
    const server = (state: string) => ({ servers: [linkServer(9000, { state, restarts: 0 })] });
    const warnings = async () => (await fleet.boxes())[0]?.agents.map(({ warning }) => warning) ?? [];
    const seqs = async () => (await fleet.boxes())[0]?.agents.map((agent) => agent.snapshot?.seq);
    for (let seq = 1; seq <= 4; seq += 1) {
      clock.to(START + seq * 10_000);
      second.send(snapshot(seq, server("ready")));
      first.send(snapshot(seq, server("down")));
      await untilHolds(async () => expect(await seqs()).toEqual([seq, seq]));
      // A reload is shorter than 30 s.
      if (seq < 3) expect(await warnings()).toEqual([null, null]);
    }
    expect(await warnings()).toEqual(Array(2).fill(expect.stringMatching(/epoch-2, epoch-1.*ISHA_BOX/)));
    // The older one's snapshots neither create events nor replace the history.
    expect((await fleet.state(["north"])).events).toEqual([]);
    // A drain or a stop of either one ends the warning.
    clock.to(START + 41_000);
    first.send(snapshot(5, { ...server("down"), draining: true }));
    await untilHolds(async () => expect(await warnings()).toEqual([null, null]));
  });

  it("is drained as the newest command states, whether the box or this object has it", async () => {
    const fleet = newFleet();
    const greet = async (epoch: string, drain: object | null): Promise<Agent> => {
      const agent = await dial(fleet);
      agent.send(hello({ epoch, drain }));
      await untilHolds(async () => expect((await fleet.boxes())[0]?.agents[0]?.epoch).toBe(epoch));
      clock.to(START + 1_000);
      return agent;
    };
    const isDrained = async () => (await fleet.boxes())[0]?.drained;
    // An object that has no command yet, or was restored to an earlier state, takes over the box's.
    await greet("epoch-1", { drained: true, at: START - 5_000 });
    expect(await isDrained()).toBe(true);
    // A resume while no agent can receive it reaches the next one, which still has the drain in its file.
    await fleet.command("north", { t: "resume" });
    const late = await greet("epoch-2", { drained: true, at: START - 5_000 });
    await untilHolds(() => expect(late.frames).toContainEqual({ t: "resume", at: START + 1_000 }));
    expect(await isDrained()).toBe(false);
  });
});
