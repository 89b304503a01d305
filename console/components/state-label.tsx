// A state: its sign, its word, and what it means.
import type { StateText } from "../model/server-state.ts";
import { LevelIcon } from "./icon.tsx";

export function StateLabel({ words, note }: { readonly words: StateText; readonly note?: string }) {
  return (
    <span class="state" data-level={words.level}>
      <LevelIcon level={words.level} />
      <span>
        <span class="state-word">{words.word}</span>
        {note === undefined || note === "" ? null : <span class="state-note"> {note}</span>}
      </span>
    </span>
  );
}
