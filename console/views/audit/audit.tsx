// The audit: which operator did what and when, newest first.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { AuditList, AuditQuery, type AuditEntry } from "../../../shared/keys.ts";
import { actorText, auditPath, auditRow } from "../../model/audit-row.ts";
import { dateTimeText } from "../../model/duration.ts";
import type { Problem } from "../../model/problem.ts";
import { Field } from "../../components/field.tsx";
import { RetryNote } from "../../components/retry-note.tsx";
import { useKeyNames, type KeyNames } from "../../state/key-names.ts";
import { routeQuery, setQuery } from "../../state/route.ts";
import { fleet, session } from "../../state/session.ts";

export function Audit() {
  const target = linkedTarget(routeQuery.value["target"] ?? "");
  const names = useKeyNames();
  const { entries, more, busy, problem, load } = useAudit(target);
  return (
    <div class="view">
      <header class="view-head">
        <h1>Audit</h1>
        <div class="filters">
          <TargetFilter target={target} names={names} />
        </div>
      </header>
      <RetryNote problem={problem} showsEarlier={entries !== null} onRetry={load} />
      {entries === null ? (
        problem === null && <p class="empty">Loading the audit…</p>
      ) : entries.length === 0 ? (
        <p class="card empty">
          {target === "" ? "No operator has done anything yet." : "Nothing was done to it."}
        </p>
      ) : (
        <AuditTable entries={entries} names={names} />
      )}
      {more ? (
        <button type="button" class="button retry" disabled={busy} onClick={load}>
          {busy ? "Loading…" : "Show older"}
        </button>
      ) : null}
      <p class="foot-note">
        Actions on keys and boxes, by console, command line or API; the newest 10,000. Times are in your time
        zone.
      </p>
    </div>
  );
}

/** The target in a link; empty for all if no action can have it. */
function linkedTarget(text: string): string {
  return text !== "" && AuditQuery.shape.target.safeParse(text).success ? text : "";
}

function TargetFilter({ target, names }: { readonly target: string; readonly names: KeyNames }) {
  const groups = useMemo(() => targetGroups(names), [names, fleet.value?.view.boxes.length]);
  const isListed = groups.some(({ options }) => options.some(([value]) => value === target));
  return (
    <Field label="Done to">
      {(props) => (
        <select
          {...props}
          value={target}
          onChange={(event) => setQuery({ target: event.currentTarget.value })}
        >
          <option value="">everything</option>
          {target === "" || isListed ? null : <option value={target}>{target}</option>}
          {groups.map(({ label, options }) => (
            <optgroup key={label} label={label}>
              {options.map(([value, text]) => (
                <option key={value} value={value}>
                  {text}
                </option>
              ))}
            </optgroup>
          ))}
        </select>
      )}
    </Field>
  );
}

interface TargetGroup {
  readonly label: string;
  readonly options: readonly (readonly [value: string, text: string])[];
}

function targetGroups(names: KeyNames): TargetGroup[] {
  const boxes = fleet.value?.view.boxes ?? [];
  return [
    { label: "Boxes", options: boxes.map(({ name }) => [name, name] as const) },
    {
      label: "Servers",
      options: boxes.flatMap(({ name, servers }) =>
        servers.map(({ port, model }) => [`${name}:${port}`, `${port} of ${name} · ${model}`] as const),
      ),
    },
    { label: "Keys", options: [...names].toSorted(([, a], [, b]) => a.localeCompare(b)) },
  ].filter(({ options }) => options.length > 0);
}

interface AuditTableProps {
  readonly entries: readonly AuditEntry[];
  readonly names: KeyNames;
}

function AuditTable({ entries, names }: AuditTableProps) {
  return (
    <div class="card flush">
      <table class="stacking audit" aria-label="Audit">
        <thead>
          <tr>
            {["When", "Who", "What", "Details", "Request"].map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {entries.map((entry) => (
            <Row key={`${entry.requestId} ${entry.action} ${entry.target}`} entry={entry} names={names} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ entry, names }: { readonly entry: AuditEntry; readonly names: KeyNames }) {
  const { action, object, details } = auditRow(entry, names);
  return (
    <tr>
      <td data-label="When" class="audit-when">
        <time dateTime={entry.at} title={entry.at}>
          {dateTimeText(Date.parse(entry.at))}
        </time>
      </td>
      <td data-label="Who">
        <span class="key-name">{actorText(entry.actor, names)}</span>
        {names.has(entry.actor) ? <code class="key-id">{entry.actor}</code> : null}
      </td>
      <td data-label="What" class="audit-what">
        {action}{" "}
        {object === "" ? null : (
          <button
            type="button"
            class="as-link"
            title="Show only what was done to it"
            onClick={() => setQuery({ target: entry.target })}
          >
            {object}
          </button>
        )}
      </td>
      <td data-label="Details" class="audit-details">
        {details.map((text) => (
          <div key={text}>{text}</div>
        ))}
      </td>
      <td data-label="Request">
        <code class="key-id audit-request" title={entry.requestId}>
          {entry.requestId}
        </code>
      </td>
    </tr>
  );
}

interface LoadedAudit {
  /** Null before the first answer for this target. */
  readonly entries: readonly AuditEntry[] | null;
  readonly more: boolean;
  readonly busy: boolean;
  readonly problem: Problem | null;
  /** Requests the next page, or again the page that failed. */
  readonly load: () => void;
}

interface Loaded {
  readonly entries: readonly AuditEntry[] | null;
  readonly next: string | null;
  readonly problem: Problem | null;
  readonly busy: boolean;
}

const NOTHING: Loaded = { entries: null, next: null, problem: null, busy: true };

function useAudit(target: string): LoadedAudit {
  const [loaded, setLoaded] = useState(NOTHING);
  const shown = useRef<string | null>(null);
  const load = async (after: string | null): Promise<void> => {
    setLoaded((current) => ({ ...current, busy: true }));
    const answer = await session.peek()?.edge.get(auditPath(target, after), AuditList);
    if (shown.current !== target || answer === undefined) return;
    if (!answer.ok) return setLoaded((current) => ({ ...current, problem: answer.problem, busy: false }));
    const { entries, next } = answer.value;
    setLoaded((current) => ({
      entries: [...(after === null ? [] : (current.entries ?? [])), ...entries],
      next,
      problem: null,
      busy: false,
    }));
  };
  useEffect(() => {
    shown.current = target;
    setLoaded(NOTHING);
    void load(null);
    return () => {
      shown.current = null;
    };
  }, [target]);
  const { entries, next, problem, busy } = loaded;
  return { entries, more: next !== null, busy, problem, load: () => void load(next) };
}
