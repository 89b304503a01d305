// The current view: its name after the `#`, so that the browser's back button works. Nothing else is stored there.
import { signal } from "@preact/signals";

export const VIEWS = {
  overview: "Overview",
  playground: "Playground",
  keys: "Keys",
  usage: "Usage",
} as const;
export type ViewName = keyof typeof VIEWS;

const viewIn = (hash: string): ViewName => {
  const name = hash.slice(1);
  return Object.hasOwn(VIEWS, name) ? (name as ViewName) : "overview";
};

export const route = signal<ViewName>(viewIn(location.hash));

export function followRoute(): void {
  addEventListener("hashchange", () => {
    // The skip link's target is not a view.
    if (location.hash === "#main") return;
    route.value = viewIn(location.hash);
    scrollTo(0, 0);
  });
}
