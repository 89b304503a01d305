// The charts of a box for the last 15 minutes or 24 hours, refreshed as often as they change.
import { useMemo, useState } from "preact/hooks";
import { allCards, FleetHistory, type FleetBoxView } from "../../../shared/fleet-view.ts";
import { historyCharts, withGaps } from "../../model/history-charts.ts";
import { Chart } from "../../components/chart.tsx";
import { Choice } from "../../components/choice.tsx";
import { SERVER_COLOURS } from "../../components/memory-bar.tsx";
import { ProblemNote } from "../../components/problem-note.tsx";
import { edgeNow } from "../../state/clock.ts";
import { useAnswer } from "../../state/request.ts";

/** Labels of the switch, by the range in minutes. */
const RANGES = { "15": "15 minutes", "1440": "24 hours" } as const;
type Range = keyof typeof RANGES;

/** The history has a value every 10 s; the chart of a day needs a refresh only every minute. */
const REFRESH_MS: Readonly<Record<Range, number>> = { "15": 10_000, "1440": 60_000 };

export function BoxCharts({ box }: { readonly box: FleetBoxView }) {
  const [range, setRange] = useState<Range>("15");
  const query = new URLSearchParams({ box: box.name, minutes: range }).toString();
  const { value: recorded, problem } = useAnswer(
    `/admin/fleet/history?${query}`,
    FleetHistory,
    REFRESH_MS[range],
  );
  // Once with each answer and at most once a second: a box that falls silent keeps its answers' last row.
  const history =
    recorded === null ? null : withGaps(recorded, Math.max(edgeNow.value, recorded.at.at(-1) ?? 0));
  const ports = box.servers.map(({ port }) => port);
  const cardGib = allCards(box.gpus).memoryTotalGib ?? box.vramGib;
  const charts = useMemo(
    () => (history === null ? null : historyCharts(history, ports, cardGib, SERVER_COLOURS)),
    [history, ports.join(), cardGib],
  );
  const at = useMemo(() => (history === null ? [] : history.at.map((ms) => ms / 1000)), [history]);
  return (
    <section class="charts" aria-label={`History of ${box.name}`}>
      <div class="charts-head">
        <h3>History</h3>
        <Choice label="Range" options={RANGES} value={range} onChoose={setRange} />
      </div>
      <ProblemNote problem={problem} />
      {charts === null ? (
        problem === null && <p class="empty">Loading the history…</p>
      ) : at.length === 0 ? (
        <p class="empty">There is no history of this box yet.</p>
      ) : (
        <div class="chart-grid">
          {charts.map((chart) => (
            <Chart key={chart.name} chart={chart} at={at} syncKey={box.name} rangeS={Number(range) * 60} />
          ))}
        </div>
      )}
    </section>
  );
}
