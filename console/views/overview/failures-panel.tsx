// Recent refusals and failures by request id; each opens its details, and any other id can be looked up.
import { useState } from "preact/hooks";
import type { Failure } from "../../../shared/failures.ts";
import { timeText } from "../../model/duration.ts";
import { isFleetFailure } from "../../model/traffic.ts";
import { Field } from "../../components/field.tsx";
import { LevelIcon } from "../../components/icon.tsx";
import { FailureDialog } from "./failure-dialog.tsx";

const SHOWN = 8;

export function FailuresPanel({ failures }: { readonly failures: readonly Failure[] }) {
  const [selected, setSelected] = useState<string | null>(null);
  const [input, setInput] = useState("");
  const [all, setAll] = useState(false);
  return (
    <section class="card" aria-labelledby="failures">
      <header class="panel-head">
        <h2 id="failures">Recent failures</h2>
      </header>
      {failures.length === 0 ? (
        <p class="empty">No call was refused or failed.</p>
      ) : (
        <ul class="failures">
          {failures.slice(0, all ? failures.length : SHOWN).map(({ requestId, at, code, key }) => (
            <li key={requestId}>
              <LevelIcon level={isFleetFailure(code) ? "bad" : "warn"} />
              <button type="button" class="failure" onClick={() => setSelected(requestId)}>
                <code class="failure-code">{code}</code>
                <span class="failure-id">{requestId}</span>
                <span class="failure-key">{key ?? "no known key"}</span>
              </button>
              <time dateTime={new Date(at).toISOString()}>{timeText(at)}</time>
            </li>
          ))}
        </ul>
      )}
      {failures.length > SHOWN ? (
        <button type="button" class="button small quiet" onClick={() => setAll(!all)}>
          {all ? "Show fewer" : `Show all ${failures.length}`}
        </button>
      ) : null}
      <form
        class="lookup"
        onSubmit={(event) => {
          event.preventDefault();
          if (input.trim() !== "") setSelected(input.trim());
        }}
      >
        <Field label="Look up a request id">
          {(props) => (
            <input
              {...props}
              placeholder="req_…"
              autocomplete="off"
              spellcheck={false}
              value={input}
              onInput={(event) => setInput(event.currentTarget.value)}
            />
          )}
        </Field>
        <button type="submit" class="button">
          Look up
        </button>
      </form>
      {selected === null ? null : <FailureDialog requestId={selected} onClose={() => setSelected(null)} />}
    </section>
  );
}
