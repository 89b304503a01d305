// Faults of two boxes' links under load, in an order drawn from a seed: cuts in mid-frame, links that
// only seem to be there, frames that arrive twice, an edge that is killed and comes back. Whenever the links are whole
// again the edge sees what the agents see, and in the end every call is in the ledger, once and to the token.
import { afterAll, beforeAll, expect, test } from "vitest";
import { startStack } from "../../../scripts/stack/stack.ts";
import { UsageReport, type UsageSums } from "../../../shared/usage-report.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { callAgent, callFor, print, readStream } from "../support/agent-call.ts";
import { type Stack } from "../support/ask.ts";
import { startBoxLinks, type BoxLinks } from "../support/box-links.ts";
import { admin, agentOf, edgeView, FLEET_FILE, hold, ownView } from "../support/boxes.ts";
import { until } from "../../support/until.ts";

const SEED = 6;
const BOXES = ["north", "south"] as const;
type BoxName = (typeof BOXES)[number];
/** Servers that the load goes to, and those that die or are kept busy meanwhile. */
const LOADED = [8080, 8081, 8082];
const CHANGED = [8084, 8085];

const CLIENTS_A_BOX = 3;
/** Calls that each torture meets at least. */
const CALLS_A_TORTURE = 40;

let stack: Stack;
let links: BoxLinks;
const random = new SeededRandom(SEED);
beforeAll(async () => {
  links = await startBoxLinks();
  stack = await startStack({
    fleetFile: FLEET_FILE,
    simulator: { tokensPerSecond: 200, promptTokensPerSecond: 100_000 },
    // A call that is to stay on one of these stays for most of a minute.
    perServer: Object.fromEntries(CHANGED.map((port) => [port, { tokensPerSecond: 20 }])),
    agentEnv: { EDGE_URL: links.url },
  });
  links.lead(stack.edgeUrl);
});
afterAll(async () => {
  await stack?.stop();
  await links?.close();
});

/** By key, of which each call has one of its own: the tokens its answer reported. */
const made = new Map<string, number>();

const failed: string[] = [];

/** Calls to both boxes without pause, straight to their agents: they go on whatever becomes of links and edge. */
function startLoad(): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const client = async (box: BoxName, number: number): Promise<void> => {
    for (let turn = 0; !stopping.signal.aborted; turn += 1) {
      const key = `call-${box}-${number}-${turn}-${made.size}`;
      const call = callFor(LOADED[(number + turn) % LOADED.length] ?? 0, {
        keyId: key,
        set: { n_predict: 10 + ((7 * turn) % 40) },
      });
      const answer = await callAgent(agentOf(stack, box), call, {
        body: {
          messages: [{ role: "user", content: "Patient: cough" }],
          ignore_eos: true,
          stream_options: { include_usage: true },
        },
      });
      const { usage, dones } = readStream(answer.text);
      if (answer.status !== 200 || dones !== 1)
        failed.push(`${key}: ${answer.status} ${answer.text.slice(0, 300)}`);
      made.set(key, usage?.completion_tokens ?? -1);
    }
  };
  const clients = BOXES.flatMap((box) =>
    Array.from({ length: CLIENTS_A_BOX }, (_, number) => client(box, number)),
  );
  const all = Promise.all(clients);
  return {
    stop: async () => {
      stopping.abort();
      await all;
    },
  };
}

/** A server of each box for whom the world changes while the links are torn: some calls stay on it, or it dies. */
interface Change {
  readonly what: string;
  undo(): Promise<void>;
}

async function change(box: BoxName): Promise<Change> {
  const port = random.pick(CHANGED);
  if (random.chance(0.5)) {
    await stack.killServer(`${box}:${port}`);
    return { what: `${box}:${port} died`, undo: () => stack.startServer(`${box}:${port}`) };
  }
  const calls = 1 + random.below(4);
  const held = hold(stack, box, port, calls, 1_000);
  return { what: `${calls} calls stay on ${box}:${port}`, undo: () => held.release() };
}

interface Seen {
  readonly draining: boolean;
  readonly servers: readonly object[];
}

/** What both sides must agree on. */
function seen(draining: boolean, servers: readonly Record<string, unknown>[]): Seen {
  return {
    draining,
    servers: servers.map(({ port, state, why, slots, busy, waiting, places }) => ({
      port,
      state,
      why,
      slots,
      busy,
      waiting,
      places,
    })),
  };
}

async function differs(): Promise<string[]> {
  const view = await edgeView(stack);
  const found: string[] = [];
  for (const box of BOXES) {
    const own = await ownView(stack, box);
    const received = view?.boxes.find(({ name }) => name === box);
    const [theirs, ours] = [
      seen(received?.state !== "up", received?.servers ?? []),
      seen(own.draining, own.servers),
    ].map((one) => JSON.stringify(one));
    if (received === undefined || theirs !== ours) found.push(`${box}: ${theirs} but it reports ${ours}`);
  }
  return found;
}

/** Until the links that were opened after `since` (monotonic) are whole, and both sides agree. */
async function converged(since: number): Promise<void> {
  const opened = (): number => Math.min(...BOXES.map((box) => links.open(box).openedAt));
  const isWhole = async (): Promise<boolean> =>
    opened() > since &&
    (await Promise.all(BOXES.map((box) => ownView(stack, box)))).every(({ linked }) => linked);
  await until(isWhole, "the links are whole again");
  let apart: string[] = [];
  await until(async () => (apart = await differs()).length === 0, "the edge sees what the agents see").catch(
    (error: unknown) => {
      throw new Error(`${String(error)}\n${apart.join("\n")}`);
    },
  );
}

/** Tears a box's link in mid-frame, so many times as it comes back. */
async function tear(box: BoxName, times: number): Promise<void> {
  for (let at = 0; at < times; at += 1) await links.of(box).tearAfter(50 + random.below(2_500));
}

/** A link that only seems to be there, until the agent notices. */
async function halfOpen(box: BoxName, isDeafAlone: boolean): Promise<void> {
  const before = links.open(box).openedAt;
  if (isDeafAlone) links.of(box).deafen();
  else links.silence(box);
  await until(async () => links.open(box).openedAt > before, `${box} dials again`);
}

const TORTURES: Readonly<Record<string, () => Promise<unknown>>> = {
  "cuts in mid-frame": () => Promise.all([tear("north", 2), tear("south", 1)]),
  "half-open: north hears nothing, south's way is dead, and north's next link is cut": () =>
    Promise.all([halfOpen("north", true).then(() => tear("north", 1)), halfOpen("south", false)]),
  "the edge killed and started": async () => {
    await stack.stopEdge();
    await stack.startEdge();
  },
};

test("after each torture the edge sees what the agents see, and the ledger has every call once", async () => {
  links.double(0.5, () => random.next());
  await until(async () => (await differs()).length === 0, "the links are there");
  for (const [torture, inflict] of Object.entries(TORTURES)) {
    const load = startLoad();
    const begun = performance.now();
    const callsBefore = made.size;
    const tearing = inflict();
    const changes = await Promise.all(BOXES.map((box) => change(box)));
    await tearing;
    await until(() => made.size >= callsBefore + CALLS_A_TORTURE, "enough calls have met the torture");
    await load.stop();
    await converged(begun);
    print(torture, { changes: changes.map(({ what }) => what), calls: made.size - callsBefore });
    await Promise.all(changes.map((one) => one.undo()));
  }
  expect(failed).toEqual([]);
  await ledgerEqualsCalls();
});

async function booked(): Promise<ReadonlyMap<string, UsageSums>> {
  const response = await admin(stack, "GET", "/usage?by=key");
  const { rows } = UsageReport.parse(await response.json());
  return new Map(rows.map(({ group, ...sums }) => [group, sums]));
}

async function ledgerEqualsCalls(): Promise<void> {
  await until(async () => {
    const views = await Promise.all(BOXES.map((box) => ownView(stack, box)));
    return views.every(({ journal, linked }) => linked && journal.behindMs === null);
  }, "the journals hold nothing that isn't acknowledged");
  await until(async () => {
    const sums = await booked();
    return [...made.keys()].every((key) => sums.has(key));
  }, "every call is in the ledger");
  const sums = await booked();
  const wrong = [...made].flatMap(([key, tokens]) => {
    const found = sums.get(key);
    const isRight = found?.calls === 1 && found.complete === 1 && found.completionTokens === tokens;
    return isRight ? [] : [`${key}: ${tokens} tokens, booked ${JSON.stringify(found)}`];
  });
  expect(wrong).toEqual([]);
  expect(links.doubled()).toBeGreaterThan(0);
  const tokens = [...made.values()].reduce((sum, one) => sum + one, 0);
  print("ledger", { calls: made.size, tokens, framesDoubled: links.doubled() });
}
