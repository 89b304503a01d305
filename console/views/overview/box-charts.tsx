// A box's curves of the last quarter of an hour or day, asked for anew as often as they can have changed.
import { useMemo, useState } from "preact/hooks";
import { FleetHistory, type FleetBoxView } from "../../../shared/fleet-view.ts";
import { allCards } from "../../../shared/gpu-cards.ts";
import { historyCharts } from "../../model/history-charts.ts";
import { Chart } from "../../components/chart.tsx";
import { Choice } from "../../components/choice.tsx";
import { SERVER_COLOURS } from "../../components/memory-bar.tsx";
import { ProblemNote } from "../../components/problem-note.tsx";
import { useAnswer } from "../../state/request.ts";

/** How far back, minutes, by the words of the switch. */
const SPANS = { "15": "15 minutes", "1440": "24 hours" } as const;
type Granularity = keyof typeof SPANS;

/** The history has a step of ten seconds; a day's curve doesn't move in less than a minute. */
const REFRESH_MS: Readonly<Record<Granularity, number>> = { "15": 10_000, "1440": 60_000 };

export function BoxCharts({ box }: { readonly box: FleetBoxView }) {
  const [span, setSpan] = useState<Granularity>("15");
  const query = new URLSearchParams({ box: box.name, minutes: span }).toString();
  const { value: history, problem } = useAnswer(
    `/admin/fleet/history?${query}`,
    FleetHistory,
    REFRESH_MS[span],
  );
  const ports = box.servers.map(({ port }) => port);
  const cardGib = allCards(box.gpus).memoryTotalGib ?? box.vramGib;
  const charts = useMemo(
    () => (history === null ? null : historyCharts(history, ports, cardGib, SERVER_COLOURS)),
    [history, ports.join(), cardGib],
  );
  const at = useMemo(() => (history === null ? [] : history.at.map((moment) => moment / 1000)), [history]);
  return (
    <section class="charts" aria-label={`History of ${box.name}`}>
      <div class="charts-head">
        <h3>History</h3>
        <Choice label="How far back" options={SPANS} value={span} onChoose={setSpan} />
      </div>
      <ProblemNote problem={problem} />
      {charts === null ? (
        problem === null && <p class="empty">Asking for the history…</p>
      ) : at.length === 0 ? (
        <p class="empty">Nothing is recorded of this box yet.</p>
      ) : (
        <div class="chart-grid">
          {charts.map((chart) => (
            <Chart key={chart.name} chart={chart} at={at} together={box.name} spanS={Number(span) * 60} />
          ))}
        </div>
      )}
    </section>
  );
}
