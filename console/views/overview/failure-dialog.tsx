// One failed request: its code, its cause and what it means.
import { meaningOf } from "../../../shared/error-meanings.ts";
import { FailedRequest } from "../../../shared/failures.ts";
import { dateTimeText } from "../../model/duration.ts";
import { CopyButton } from "../../components/copy-button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { CopyId } from "./copy-id.tsx";
import { ProblemNote } from "../../components/problem-note.tsx";
import { useKeyNames } from "../../state/key-names.ts";
import { useAnswer } from "../../state/request.ts";

const NO_RECORD =
  "There is no record of this request: it succeeded, is older than a day, or was one of many failures that were only counted.";

export function FailureDialog({
  requestId,
  onClose,
}: {
  readonly requestId: string;
  readonly onClose: () => void;
}) {
  const { value, problem } = useAnswer(`/admin/requests/${encodeURIComponent(requestId)}`, FailedRequest);
  return (
    <Dialog title="Failed request" onClose={onClose}>
      <div class="dialog-body">
        {value === null && problem === null ? <p class="empty">Looking it up…</p> : null}
        <ProblemNote problem={problem} {...(problem?.code === "not_found" ? { message: NO_RECORD } : {})} />
        {value === null ? null : <Details request={value} />}
      </div>
      <footer class="dialog-foot">
        <CopyButton text={location.href} label="Copy the link" />
        <button type="button" class="button" onClick={onClose}>
          Close
        </button>
      </footer>
    </Dialog>
  );
}

function Details({ request }: { readonly request: FailedRequest }) {
  const names = useKeyNames();
  const name = request.key === null ? undefined : names.get(request.key);
  return (
    <>
      <p class="failure-meaning">{meaningOf(request.code)}</p>
      <dl class="facts">
        <dt>Request</dt>
        <dd>
          <code>{request.requestId}</code> <CopyId id={request.requestId} />
        </dd>
        <dt>Code</dt>
        <dd>
          <code>{request.code}</code>
        </dd>
        <dt>Route</dt>
        <dd>
          <code>{request.route}</code>
        </dd>
        <dt>Key</dt>
        <dd>
          {name === undefined ? null : `${name} `}
          {request.key === null ? "unknown" : <code>{request.key}</code>}
        </dd>
        <dt>Agent type</dt>
        <dd>{request.agentType ?? "unknown"}</dd>
        {request.model === undefined ? null : (
          <>
            <dt>Server</dt>
            <dd>
              {request.model} on {request.port ?? "an unknown port"}
            </dd>
          </>
        )}
        {request.param === undefined ? null : (
          <>
            <dt>Field</dt>
            <dd>
              <code>{request.param}</code>
            </dd>
          </>
        )}
        <dt>Cause</dt>
        <dd>{request.cause ?? "none recorded"}</dd>
        <dt>When</dt>
        <dd>{dateTimeText(Date.parse(request.at))}</dd>
      </dl>
    </>
  );
}
