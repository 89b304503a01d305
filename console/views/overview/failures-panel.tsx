// Recent failures: ours one by one, the callers' grouped by code and key. Each has a link of its own, and any other
// request id can be looked up.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { Failure } from "../../../shared/failures.ts";
import type { FailureGroup, FleetView } from "../../../shared/fleet-view.ts";
import { isoTime, timeText } from "../../model/duration.ts";
import {
  agentChoices,
  isNarrowed,
  NO_KEY,
  shownFailures,
  shortId,
  type FailureFilter,
} from "../../model/failures.ts";
import { figure } from "../../model/format.ts";
import { codeText, isOurs } from "../../model/traffic.ts";
import { Choice } from "../../components/choice.tsx";
import { Field } from "../../components/field.tsx";
import { LevelIcon } from "../../components/icon.tsx";
import { Select } from "../../components/select.tsx";
import { useKeyNames, type KeyNames } from "../../state/key-names.ts";
import { openItem, routeLink, routeQuery, setQuery } from "../../state/route.ts";
import { CopyId } from "./copy-id.tsx";

/** The number of lines that fit in a glance; a button shows the rest. */
const SHOWN = 6;

const SIDES = { "": "All", ours: "Ours", callers: "The callers'" } as const;

export function FailuresPanel({ view }: { readonly view: FleetView }) {
  const names = useKeyNames();
  const { code = "", key = "", agent = "", side: chosen = "" } = routeQuery.value;
  const side = Object.hasOwn(SIDES, chosen) ? (chosen as FailureFilter["side"]) : "";
  const filter = { side, code, key, agent };
  const { ours, groups, callers } = shownFailures(view, filter);
  return (
    <section class="card failures" aria-labelledby="failures">
      <header class="panel-head">
        <h2 id="failures">Recent failures</h2>
        <Choice label="Whose" options={SIDES} value={side} onChoose={(next) => setQuery({ side: next })} />
        <Select
          label="Agent type"
          options={agentChoices(view, agent)}
          value={agent}
          onChoose={(next) => setQuery({ agent: next })}
        />
      </header>
      <Chosen
        filters={[
          { name: "code", text: code === "" ? "" : <code>{code}</code> },
          { name: "key", text: key === "" ? "" : keyText(key === NO_KEY ? null : key, names) },
        ]}
      />
      {side === "callers" || (code !== "" && !isOurs(code)) ? null : (
        <Singles
          title="Ours"
          failures={ours}
          names={names}
          empty={isNarrowed(filter) ? "None of the last day matches." : "None of the last day."}
        />
      )}
      {side === "ours" || (code !== "" && isOurs(code)) ? null : (
        <>
          {groups === null ? null : <Groups groups={groups} names={names} />}
          {!isNarrowed(filter) ? null : (
            <Singles
              title={groups === null ? "The callers', one by one" : "One by one"}
              failures={callers}
              names={names}
              empty="None is among the newest; older ones can be looked up by their request id."
            />
          )}
        </>
      )}
      <Lookup />
    </section>
  );
}

function keyText(key: string | null, names: KeyNames): string {
  return key === null ? "no known key" : (names.get(key) ?? key);
}

interface ChosenFilter {
  /** As in the address. */
  readonly name: string;
  /** Empty if it isn't chosen. */
  readonly text: ComponentChildren;
}

/** The filters of the list, each with a button that removes it. */
function Chosen({ filters }: { readonly filters: readonly ChosenFilter[] }) {
  const chosen = filters.filter(({ text }) => text !== "");
  if (chosen.length === 0) return null;
  return (
    <p class="chosen">
      <span>Only</span>
      {chosen.map(({ name, text }) => (
        <button key={name} type="button" class="chip" onClick={() => setQuery({ [name]: "" })}>
          {text} <span aria-hidden="true">×</span>
          <span class="visually-hidden">remove this filter</span>
        </button>
      ))}
    </p>
  );
}

interface SinglesProps {
  readonly title: string;
  readonly failures: readonly Failure[];
  readonly names: KeyNames;
  readonly empty: string;
}

function Singles({ title, failures, names, empty }: SinglesProps) {
  const [all, setAll] = useState(false);
  return (
    <div class="failure-part">
      <h3>{title}</h3>
      {failures.length === 0 ? (
        <p class="empty">{empty}</p>
      ) : (
        <ul class="failure-list">
          {failures.slice(0, all ? failures.length : SHOWN).map((failure) => (
            <Single key={failure.requestId} failure={failure} names={names} />
          ))}
        </ul>
      )}
      <More count={failures.length} all={all} onToggle={() => setAll(!all)} />
    </div>
  );
}

function Single({ failure, names }: { readonly failure: Failure; readonly names: KeyNames }) {
  const { requestId, at, code, key, cause, agentType } = failure;
  return (
    <li>
      <LevelIcon level={isOurs(code) ? "bad" : "warn"} />
      <div class="failure-text">
        <a class="failure" href={routeLink({ view: "overview", item: requestId, query: routeQuery.value })}>
          <code class="failure-code">{code}</code>{" "}
          <span class="failure-cause">{cause ?? codeText(code)}</span>
        </a>
        <p class="failure-about">
          {[keyText(key, names), ...factsOf(failure)].join(" · ")} · <code>{shortId(requestId)}</code>
          <CopyId id={requestId} />
        </p>
      </div>
      <span class="failure-agent">{agentType ?? "agent unknown"}</span>
      <time dateTime={isoTime(at)}>{timeText(at)}</time>
    </li>
  );
}

/** The server that the call was for, and the wrong field, if they are known. */
function factsOf({ model, port, param }: Failure): string[] {
  const server = model === undefined ? [] : [port === undefined ? model : `${model} on ${port}`];
  return param === undefined ? server : [...server, `field ${param}`];
}

function Groups({ groups, names }: { readonly groups: readonly FailureGroup[]; readonly names: KeyNames }) {
  const [all, setAll] = useState(false);
  return (
    <div class="failure-part">
      <h3>The callers', by code and key, in the last hour</h3>
      {groups.length === 0 ? (
        <p class="empty">None.</p>
      ) : (
        <ul class="failure-groups">
          {groups.slice(0, all ? groups.length : SHOWN).map(({ code, key, count, lastAt }) => (
            <li key={`${code} ${key ?? ""}`}>
              <button
                type="button"
                class="failure-group"
                title="Show these failures one by one"
                onClick={() => setQuery({ code, key: key ?? NO_KEY })}
              >
                <span class="failure-count">{figure(count)} ×</span>
                <span class="failure-text">
                  <code class="failure-code">{code}</code>{" "}
                  <span class="failure-about">
                    {keyText(key, names)} · {codeText(code)}
                  </span>
                </span>
                <span class="failure-time">
                  last <time dateTime={isoTime(lastAt)}>{timeText(lastAt)}</time>
                </span>
              </button>
            </li>
          ))}
        </ul>
      )}
      <More count={groups.length} all={all} onToggle={() => setAll(!all)} />
    </div>
  );
}

interface MoreProps {
  readonly count: number;
  readonly all: boolean;
  readonly onToggle: () => void;
}

function More({ count, all, onToggle }: MoreProps) {
  if (count <= SHOWN) return null;
  return (
    <button type="button" class="button small quiet" onClick={onToggle}>
      {all ? "Show fewer" : `Show all ${count}`}
    </button>
  );
}

function Lookup() {
  const [input, setInput] = useState("");
  return (
    <form
      class="lookup"
      onSubmit={(event) => {
        event.preventDefault();
        if (input.trim() !== "") openItem(input.trim());
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
  );
}
