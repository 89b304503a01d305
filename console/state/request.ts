// A hook that requests a path of the edge for a component, once or repeatedly.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type * as z from "zod/mini";
import type { Problem } from "../model/problem.ts";
import { session } from "./session.ts";

export interface Answer<T> {
  /** The last answer, even of an earlier path; null before the first. */
  readonly value: T | null;
  readonly problem: Problem | null;
  /** Whether `value` is the answer to this path; otherwise it is an earlier one's, or there is none yet. */
  readonly isCurrent: boolean;
  /** Requests the path again. */
  readonly retry: () => void;
}

interface Received<T> {
  readonly value: T | null;
  /** The path that `value` answers. */
  readonly path: string | null;
  readonly failure: { readonly path: string; readonly problem: Problem } | null;
}

/**
 * @param path requested again when it changes.
 * @param everyMs interval of further requests; none without it.
 */
export function useAnswer<T>(path: string, schema: z.ZodMiniType<T>, everyMs?: number): Answer<T> {
  const [received, setReceived] = useState<Received<T>>({ value: null, path: null, failure: null });
  const wanted = useRef("");
  const load = useCallback(async (): Promise<void> => {
    const outcome = await session.peek()?.edge.get(path, schema);
    if (wanted.current !== path || outcome === undefined) return;
    if (outcome.ok) setReceived({ value: outcome.value, path, failure: null });
    else setReceived((earlier) => ({ ...earlier, failure: { path, problem: outcome.problem } }));
  }, [path]);
  useEffect(() => {
    wanted.current = path;
    void load();
    // A hidden tab sends no requests.
    const timer =
      everyMs === undefined ? undefined : setInterval(() => void (document.hidden || load()), everyMs);
    return () => {
      wanted.current = "";
      clearInterval(timer);
    };
  }, [path, everyMs]);
  const { value, failure } = received;
  const problem = failure?.path === path ? failure.problem : null;
  return { value, problem, isCurrent: received.path === path, retry: () => void load() };
}
