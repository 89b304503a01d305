// A state: icon, label and note.
import type { StateText } from "../model/server-state.ts";
import { LevelIcon } from "./icon.tsx";

export function StateLabel({ state, note }: { readonly state: StateText; readonly note?: string }) {
  return (
    <span class="state" data-level={state.level}>
      <LevelIcon level={state.level} />
      <span>
        <span class="state-label">{state.label}</span>
        {note === undefined || note === "" ? null : <span class="state-note"> {note}</span>}
      </span>
    </span>
  );
}
