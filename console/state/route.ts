// Which view is shown: its name after the `#`, so that the browser's own buttons work. Nothing else goes there.
import { signal } from "@preact/signals";

export const VIEWS = {
  overview: "Overview",
  playground: "Playground",
  keys: "Keys",
  usage: "Usage",
} as const;
export type ViewName = keyof typeof VIEWS;

const named = (hash: string): ViewName => {
  const name = hash.slice(1);
  return Object.hasOwn(VIEWS, name) ? (name as ViewName) : "overview";
};

export const route = signal<ViewName>(named(location.hash));

export function followRoute(): void {
  addEventListener("hashchange", () => {
    // The skip link's target is no view: it leads to the one that is shown.
    if (location.hash === "#main") return;
    route.value = named(location.hash);
    scrollTo(0, 0);
  });
}
