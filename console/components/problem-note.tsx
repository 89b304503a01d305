// The reason why a request failed, with its code and request id.
import type { Problem } from "../model/problem.ts";
import { Note } from "./note.tsx";

export function ProblemNote({
  problem,
  message,
}: {
  readonly problem: Problem | null;
  readonly message?: string;
}) {
  return (
    <div role="alert">
      {problem === null ? null : (
        <Note level="bad">
          {message ?? problem.message}{" "}
          <span class="problem-code">
            <code>{problem.code}</code>
            {problem.requestId === null ? null : (
              <>
                {" "}
                · <code>{problem.requestId}</code>
              </>
            )}
          </span>
        </Note>
      )}
    </div>
  );
}
