// What became of one request, and what its code means.
import { RequestFate } from "../../../shared/failures.ts";
import { dayAndTime } from "../../model/duration.ts";
import { Dialog } from "../../components/dialog.tsx";
import { ProblemNote } from "../../components/problem-note.tsx";
import { useAnswer } from "../../state/request.ts";

const NOT_KEPT =
  "Nothing is kept of this id: it succeeded, is more than a day old, or came in a flood that was only counted.";

export function FateDialog({
  requestId,
  onClose,
}: {
  readonly requestId: string;
  readonly onClose: () => void;
}) {
  const { value, problem } = useAnswer(`/admin/requests/${encodeURIComponent(requestId)}`, RequestFate);
  return (
    <Dialog title="What became of it" onClose={onClose}>
      <div class="dialog-body">
        {value === null && problem === null ? <p class="empty">Looking it up…</p> : null}
        <ProblemNote problem={problem} {...(problem?.code === "not_found" ? { words: NOT_KEPT } : {})} />
        {value === null ? null : <Fate fate={value} />}
      </div>
      <footer class="dialog-foot">
        <button type="button" class="button" onClick={onClose}>
          Close
        </button>
      </footer>
    </Dialog>
  );
}

function Fate({ fate }: { readonly fate: RequestFate }) {
  return (
    <>
      <p class="fate-meaning">{fate.meaning}</p>
      <dl class="facts">
        <dt>Request</dt>
        <dd>
          <code>{fate.requestId}</code>
        </dd>
        <dt>Code</dt>
        <dd>
          <code>{fate.code}</code>
        </dd>
        <dt>Route</dt>
        <dd>
          <code>{fate.route}</code>
        </dd>
        <dt>Key</dt>
        <dd>{fate.key === null ? "none that we know" : <code>{fate.key}</code>}</dd>
        <dt>Cause</dt>
        <dd>{fate.cause ?? "the code says all"}</dd>
        <dt>When</dt>
        <dd>{dayAndTime(Date.parse(fate.at))}</dd>
      </dl>
    </>
  );
}
