// A hook that loads the names of all keys, so that views show names instead of ids.
import { useEffect, useState } from "preact/hooks";
import { KeyList, unlistedKey } from "../../shared/keys.ts";
import { session } from "./session.ts";

/** Pages of 200 keys that are loaded at most; the keys beyond them are shown by their ids. */
const MAX_PAGES = 10;

export type KeyNames = ReadonlyMap<string, string>;

/** Names by id; empty until they are loaded, or if they can't be: a view is useful without them. */
export function useKeyNames(): KeyNames {
  const [names, setNames] = useState<KeyNames>(new Map());
  useEffect(() => {
    let unmounted = false;
    const load = async (after: string | null, loaded: KeyNames, pages: number): Promise<void> => {
      const query = new URLSearchParams({ limit: "200", ...(after === null ? {} : { after }) }).toString();
      const answer = await session.peek()?.edge.get(`/admin/keys?${query}`, KeyList);
      if (unmounted || answer?.ok !== true) return;
      const { keys, next } = answer.value;
      const all = new Map([...loaded, ...keys.map(({ id, name }) => [id, name] as const)]);
      setNames(all);
      if (next !== null && pages > 1) await load(next, all, pages - 1);
    };
    void load(null, new Map(), MAX_PAGES);
    return () => {
      unmounted = true;
    };
  }, []);
  return names;
}

/** A key's name, or what its id stands for; null if neither is known. */
export function nameOfKey(id: string, names: KeyNames): string | null {
  return names.get(id) ?? unlistedKey(id);
}
