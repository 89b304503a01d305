// The current route, after the `#` of the address: `#view`, `#view/item?name=value`. So every view, failure and filter
// has a link, and the browser's back button works. It never contains a key's secret.
import { computed, signal } from "@preact/signals";

export const VIEWS = {
  overview: "Overview",
  playground: "Playground",
  keys: "Keys",
  usage: "Usage",
  audit: "Audit",
} as const;
export type ViewName = keyof typeof VIEWS;

export interface Route {
  readonly view: ViewName;
  /** The part after the view: the request id of an open failure, for example; empty for none. */
  readonly item: string;
  /** Filters and other choices of the view, by name. */
  readonly query: Readonly<Record<string, string>>;
}

/** A link that is longer than this was not made here; its choices are ignored. */
const MAX_LENGTH = 2_000;

export function readRoute(hash: string): Route {
  const [path = "", search = ""] = hash.slice(1, MAX_LENGTH).split("?", 2);
  const [name = "", ...rest] = path.split("/");
  const view = Object.hasOwn(VIEWS, name) ? (name as ViewName) : "overview";
  return { view, item: decoded(rest.join("/")), query: Object.fromEntries(new URLSearchParams(search)) };
}

/** The link to a route, for an `href`. Choices that are empty are left out. */
export function routeLink({ view, item = "", query = {} }: Partial<Route> & Pick<Route, "view">): string {
  const chosen = Object.entries(query).filter(([, value]) => value !== "");
  const search = new URLSearchParams(chosen).toString();
  return `#${view}${item === "" ? "" : `/${encodeURIComponent(item)}`}${search === "" ? "" : `?${search}`}`;
}

const current = signal<Route>(readRoute(location.hash));

/** The name of the current view. */
export const route = computed(() => current.value.view);
/** The item that is open in the current view; empty for none. */
export const routeItem = computed(() => current.value.item);
/** The choices of the current view, by name. */
export const routeQuery = computed(() => current.value.query);

/** Opens an item of the current view, or closes it with an empty name. The back button undoes it. */
export function openItem(item: string): void {
  location.hash = routeLink({ ...current.peek(), item });
}

/** Changes choices of the current view; an empty value removes one. The back button leaves the view, as before. */
export function setQuery(change: Readonly<Record<string, string>>): void {
  const next = { ...current.peek(), query: { ...current.peek().query, ...change } };
  history.replaceState(history.state, "", routeLink(next));
  current.value = readRoute(location.hash);
}

export function followRoute(): void {
  addEventListener("hashchange", () => {
    // The skip link's target is not a view.
    if (location.hash === "#main") return;
    const before = current.peek().view;
    current.value = readRoute(location.hash);
    if (current.peek().view !== before) scrollTo(0, 0);
  });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
