// What the edge answers to one question, for as long as a part of the page shows it.
import { useEffect, useState } from "preact/hooks";
import type * as z from "zod";
import type { Problem } from "../model/problem.ts";
import { session } from "./session.ts";

export interface Answer<T> {
  /** The last that came, also of a question before this one; null before the first. */
  readonly value: T | null;
  readonly problem: Problem | null;
}

/**
 * @param path asked for anew where it changes.
 * @param everyMs and this often; left out, once.
 */
export function useAnswer<T>(path: string, schema: z.ZodType<T>, everyMs?: number): Answer<T> {
  const [answer, setAnswer] = useState<Answer<T>>({ value: null, problem: null });
  useEffect(() => {
    let gone = false;
    const ask = async (): Promise<void> => {
      const outcome = await session.peek()?.edge.get(path, schema);
      if (gone || outcome === undefined) return;
      if (outcome.ok) setAnswer({ value: outcome.value, problem: null });
      else setAnswer(({ value }) => ({ value, problem: outcome.problem }));
    };
    void ask();
    // A tab nobody looks at asks for nothing.
    const timer =
      everyMs === undefined ? undefined : setInterval(() => void (document.hidden || ask()), everyMs);
    return () => {
      gone = true;
      clearInterval(timer);
    };
  }, [path, everyMs]);
  return answer;
}
