// The package has no types of its own. What it gives for a text whose families have no type, or aren't histograms;
// a histogram's series it folds into one.
declare module "parse-prometheus-text-format" {
  interface Family {
    readonly name: string;
    readonly help: string;
    readonly type: string;
    readonly metrics: readonly {
      readonly value: string;
      readonly labels?: Readonly<Record<string, string>>;
      readonly timestamp_ms?: string;
    }[];
  }

  /** Throws at a line it can't read. */
  export default function parsePrometheusTextFormat(text: string): Family[];
}
