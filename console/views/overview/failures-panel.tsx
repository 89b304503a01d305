// Recent refusals and failures by request id; each opens its fate, and any other id can be looked up.
import { useState } from "preact/hooks";
import type { Failure } from "../../../shared/failures.ts";
import { clockTime } from "../../model/duration.ts";
import { isOurs } from "../../model/traffic.ts";
import { Field } from "../../components/field.tsx";
import { LevelIcon } from "../../components/icon.tsx";
import { FateDialog } from "./failure-dialog.tsx";

const SHOWN = 8;

export function FailuresPanel({ failures }: { readonly failures: readonly Failure[] }) {
  const [asked, setAsked] = useState<string | null>(null);
  const [typed, setTyped] = useState("");
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
              <LevelIcon level={isOurs(code) ? "bad" : "warn"} />
              <button type="button" class="failure" onClick={() => setAsked(requestId)}>
                <code class="failure-code">{code}</code>
                <span class="failure-id">{requestId}</span>
                <span class="failure-key">{key ?? "no known key"}</span>
              </button>
              <time dateTime={new Date(at).toISOString()}>{clockTime(at)}</time>
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
          if (typed.trim() !== "") setAsked(typed.trim());
        }}
      >
        <Field label="Look up a request id">
          {(props) => (
            <input
              {...props}
              placeholder="req_…"
              autocomplete="off"
              spellcheck={false}
              value={typed}
              onInput={(event) => setTyped(event.currentTarget.value)}
            />
          )}
        </Field>
        <button type="submit" class="button">
          Look up
        </button>
      </form>
      {asked === null ? null : <FateDialog requestId={asked} onClose={() => setAsked(null)} />}
    </section>
  );
}
