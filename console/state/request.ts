// A hook that requests a path of the edge for a component, once or repeatedly.
import { useEffect, useState } from "preact/hooks";
import type * as z from "zod/mini";
import type { Problem } from "../model/problem.ts";
import { session } from "./session.ts";

export interface Answer<T> {
  /** The last answer, even of an earlier path; null before the first. */
  readonly value: T | null;
  readonly problem: Problem | null;
}

/**
 * @param path requested again when it changes.
 * @param everyMs interval of further requests; none without it.
 */
export function useAnswer<T>(path: string, schema: z.ZodMiniType<T>, everyMs?: number): Answer<T> {
  const [answer, setAnswer] = useState<Answer<T>>({ value: null, problem: null });
  useEffect(() => {
    let unmounted = false;
    const load = async (): Promise<void> => {
      const outcome = await session.peek()?.edge.get(path, schema);
      if (unmounted || outcome === undefined) return;
      if (outcome.ok) setAnswer({ value: outcome.value, problem: null });
      else setAnswer(({ value }) => ({ value, problem: outcome.problem }));
    };
    void load();
    // A hidden tab sends no requests.
    const timer =
      everyMs === undefined ? undefined : setInterval(() => void (document.hidden || load()), everyMs);
    return () => {
      unmounted = true;
      clearInterval(timer);
    };
  }, [path, everyMs]);
  return answer;
}
