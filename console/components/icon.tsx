// The page's icons. Each level has its own shape, so that colour alone never carries the meaning.
import type { JSX } from "preact";
import type { Level } from "../model/server-state.ts";

const SHAPES: Readonly<Record<Level, JSX.Element>> = {
  good: (
    <>
      <circle cx="8" cy="8" r="7" />
      <path class="mark" d="m4.8 8.3 2.2 2.2 4.2-4.6" />
    </>
  ),
  warn: (
    <>
      <path d="M8 1.2 15.4 14a.6.6 0 0 1-.5.9H1.1a.6.6 0 0 1-.5-.9z" />
      <path class="mark" d="M8 6v4m0 2.2v.3" />
    </>
  ),
  bad: (
    <>
      <path d="M5 1h6l4 4v6l-4 4H5l-4-4V5z" />
      <path class="mark" d="m5.4 5.4 5.2 5.2m0-5.2-5.2 5.2" />
    </>
  ),
  quiet: (
    <>
      <circle class="hollow" cx="8" cy="8" r="6" />
      <path class="dash" d="M5.2 8h5.6" />
    </>
  ),
};

export function LevelIcon({ level }: { readonly level: Level }) {
  return (
    <svg class="level-icon" data-level={level} viewBox="0 0 16 16" aria-hidden="true">
      {SHAPES[level]}
    </svg>
  );
}

const PATHS = {
  moon: "M13.5 9.6A6 6 0 0 1 6.4 2.5a6 6 0 1 0 7.1 7.1Z",
  sun: "M8 4.8a3.2 3.2 0 1 1 0 6.4 3.2 3.2 0 0 1 0-6.4ZM8 .8v1.6m0 11.2v1.6M.8 8h1.6m11.2 0h1.6M2.9 2.9 4 4m8 8 1.1 1.1m0-10.2L12 4M4 12l-1.1 1.1",
  restart: "M13.3 8A5.3 5.3 0 1 1 11.6 4.1M13.4 1.6v3.2h-3.2",
  close: "m4 4 8 8m0-8-8 8",
  copy: "M5.8 5.8h7.4v7.4H5.8zM10.2 5.8V2.8H2.8v7.4h3",
} as const;

export function Icon({ name }: { readonly name: keyof typeof PATHS }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 16 16" aria-hidden="true">
      <rect width="16" height="16" rx="4" />
      <path d="M3.5 9.5h2l1.5-5 2.5 7.5 1.5-2.5h1.5" />
    </svg>
  );
}
