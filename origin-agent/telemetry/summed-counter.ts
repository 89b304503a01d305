// A Prometheus counter that sums each series itself between two scrapes: prom-client looks a series up by sorting and joining
// its labels, which costs more than the rest of a call's metrics.
import { Counter, type Registry } from "prom-client";

interface Series {
  readonly labels: Readonly<Record<string, string>>;
  sum: number;
}

export class SummedCounter {
  readonly #labelNames: readonly string[];
  readonly #series = new Map<string, Series>();

  constructor(name: string, help: string, labelNames: readonly string[], registers: Registry[]) {
    this.#labelNames = labelNames;
    const counter = new Counter({
      name,
      help,
      labelNames: [...labelNames],
      registers,
      collect: () => {
        for (const { labels, sum } of this.#series.values()) counter.inc(labels, sum);
        this.#series.clear();
      },
    });
  }

  /** @param values the labels' values, in the order of their names; each from a closed set */
  add(sum: number, ...values: readonly string[]): void {
    const key = values.join();
    const series = this.#series.get(key);
    if (series === undefined) {
      const labels = Object.fromEntries(this.#labelNames.map((name, at) => [name, values[at] ?? ""]));
      this.#series.set(key, { labels, sum });
    } else series.sum += sum;
  }
}
