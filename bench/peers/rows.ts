// The rows of `--peers`: what the whole path costs relative to the alternatives, in the same interleaved run.
import type { Contender } from "../measures/cpu-pairs.ts";
import { EDGE_PACE, measureCpuPairs } from "../measures/cpu-pairs.ts";
import type { Row } from "../row.ts";
import type { Stage } from "../stage.ts";
import { startNginx, startOldStack, startPortkey, type Peer } from "./peers.ts";

export const PEER_ROWS: readonly Row[] = [
  peerRow("whole path, CPU a request, over nginx alone", null, startNginx),
  peerRow("whole path, CPU a request, over Portkey", { on: "ratio", atMost: 1.4, goal: 0.5 }, startPortkey),
  peerRow(
    "whole path, CPU a request, over nginx + FastAPI",
    { on: "ratio", atMost: 0.85, goal: 0.25 },
    startOldStack,
  ),
];

function peerRow(
  name: string,
  bound: Row["bound"],
  start: (stage: Stage) => Promise<Peer | { readonly missing: string }>,
): Row {
  return {
    name,
    unit: "µs",
    bound,
    peer: true,
    async measure(stage, progress) {
      const peer = await start(stage);
      if ("missing" in peer) {
        progress(`skipped: ${peer.missing}`);
        return "skipped";
      }
      const calls = stage.clientCalls("json");
      const theirs: Contender = {
        ...peer,
        calls: calls.map((call) => ({ ...call, headers: { ...call.headers, ...peer.headers } })),
      };
      const [edge, agent] = await Promise.all([stage.wholeEdge(), stage.agent()]);
      const found = await measureCpuPairs({
        floor: theirs,
        ours: { url: edge.url, pids: [edge.pid, agent.pid], calls },
        pace: EDGE_PACE,
        unitsPerCall: 1,
        onRound: (round, rounds) => progress(`round ${round} of ${rounds}`),
      });
      const { oursUs: figure, floorUs, ratio } = found;
      return { figure, floor: floorUs, ratio, note: peer.version, detail: { ...found, peer: peer.version } };
    },
  };
}
