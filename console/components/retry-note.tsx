// The reason why a view has no new figures, and a button that requests them again.
import type { Problem } from "../model/problem.ts";
import { ProblemNote } from "./problem-note.tsx";

interface RetryNoteProps {
  readonly problem: Problem | null;
  /** Whether the view still shows an earlier answer. */
  readonly showsEarlier: boolean;
  readonly onRetry: () => void;
}

export function RetryNote({ problem, showsEarlier, onRetry }: RetryNoteProps) {
  return (
    <>
      <ProblemNote
        problem={problem}
        {...(problem !== null && showsEarlier
          ? { message: `${problem.message} What you see is from the last answer.` }
          : {})}
      />
      {problem === null ? null : (
        <button type="button" class="button retry" onClick={onRetry}>
          Try again
        </button>
      )}
    </>
  );
}
