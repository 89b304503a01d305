// The page's frame: the header, and the current view or the sign-in form.
import { useEffect, useRef } from "preact/hooks";
import { freshness } from "./model/freshness.ts";
import { headline } from "./model/headline.ts";
import { LevelIcon, Logo, Icon } from "./components/icon.tsx";
import { edgeNow, now } from "./state/clock.ts";
import { notice } from "./state/notice.ts";
import { route, VIEWS, type ViewName } from "./state/route.ts";
import { fleet, link, session, signOut } from "./state/session.ts";
import { theme, toggleTheme } from "./state/theme.ts";
import { Audit } from "./views/audit/audit.tsx";
import { Keys } from "./views/keys/keys.tsx";
import { Overview } from "./views/overview/overview.tsx";
import { Playground } from "./views/playground/playground.tsx";
import { SignIn } from "./views/sign-in.tsx";
import { Usage } from "./views/usage/usage.tsx";

export function App() {
  const main = useRef<HTMLElement>(null);
  const signedIn = session.value !== null;
  useEffect(() => {
    document.title = signedIn ? `${VIEWS[route.value]} · Fleet console` : "Fleet console";
  }, [signedIn, route.value]);
  // The focus was in the sign-in form, which is gone.
  useEffect(() => {
    if (signedIn) main.current?.focus({ preventScroll: true });
  }, [signedIn]);
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to the content
      </a>
      <Header />
      <main id="main" ref={main} tabIndex={-1} class={signedIn ? "page" : "page bare"}>
        {signedIn ? <View name={route.value} /> : <SignIn />}
      </main>
      <Announcements />
    </>
  );
}

function View({ name }: { readonly name: ViewName }) {
  switch (name) {
    case "overview":
      return <Overview />;
    case "playground":
      return <Playground />;
    case "keys":
      return <Keys />;
    case "usage":
      return <Usage />;
    case "audit":
      return <Audit />;
  }
}

function Header() {
  const dark = theme.value === "dark";
  return (
    <header class="top">
      <div class="top-line">
        <div class="brand">
          <Logo />
          <span class="brand-name">Fleet console</span>
          <span class="brand-host">{location.host}</span>
          {fleet.value?.view.boxes.some(({ simulated }) => simulated === true) === true ? (
            <span class="badge" title="Some servers or cards are simulated, and so are their figures">
              simulated
            </span>
          ) : null}
        </div>
        {session.value === null ? null : <Navigation />}
        <div class="top-end">
          {session.value === null ? null : <LinkState />}
          <button
            type="button"
            class="icon-button"
            aria-label={dark ? "Use light colours" : "Use dark colours"}
            onClick={toggleTheme}
          >
            <Icon name={dark ? "sun" : "moon"} />
          </button>
          {session.value === null ? null : (
            <button type="button" class="button small" onClick={() => signOut()}>
              Sign out
            </button>
          )}
        </div>
      </div>
    </header>
  );
}

function Navigation() {
  return (
    <nav class="tabs" aria-label="Views">
      {Object.entries(VIEWS).map(([name, text]) => (
        <a key={name} href={`#${name}`} aria-current={name === route.value ? "page" : undefined}>
          {text}
        </a>
      ))}
    </nav>
  );
}

function LinkState() {
  const { level, label } = freshness(link.value, now.value);
  return (
    <span class="link-state" data-level={level}>
      <LevelIcon level={level} />
      <span>{label}</span>
    </span>
  );
}

/** Live regions for screen readers: changes of the fleet's state, never a figure that changes every second. */
function Announcements() {
  const view = fleet.value?.view;
  const stale = session.value !== null && freshness(link.value, now.value).stale;
  const announcement = view === undefined ? "" : headline(view, edgeNow.value).announcement;
  return (
    <>
      <p role="status" class="visually-hidden">
        {session.value === null ? "" : stale ? "No update from the edge. What you see is old." : announcement}
      </p>
      <p role="status" class={notice.value === "" ? "notice empty" : "notice"}>
        {notice.value}
      </p>
    </>
  );
}
