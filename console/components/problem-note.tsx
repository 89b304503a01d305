// Why something couldn't be done, with the request id to look it up by.
import type { Problem } from "../model/problem.ts";
import { LevelIcon } from "./icon.tsx";

export function ProblemNote({
  problem,
  words,
}: {
  readonly problem: Problem | null;
  readonly words?: string;
}) {
  return (
    <div role="alert">
      {problem === null ? null : (
        <p class="problem">
          <LevelIcon level="bad" />
          <span>
            {words ?? problem.message}{" "}
            <span class="problem-code">
              <code>{problem.code}</code>
              {problem.requestId === null ? null : (
                <>
                  {" "}
                  · <code>{problem.requestId}</code>
                </>
              )}
            </span>
          </span>
        </p>
      )}
    </div>
  );
}
