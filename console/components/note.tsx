// A marked line: a warning, or the reason why something failed.
import type { ComponentChildren } from "preact";
import type { Level } from "../model/server-state.ts";
import { LevelIcon } from "./icon.tsx";

interface NoteProps {
  readonly level: Level;
  readonly children: ComponentChildren;
}

export function Note({ level, children }: NoteProps) {
  return (
    <p class="problem">
      <LevelIcon level={level} />
      <span>{children}</span>
    </p>
  );
}
