// The console's entry: starts the clock, the routing and the theme, and renders the page.
import "./jitless.ts";
import { render } from "preact";
import { startClock } from "./state/clock.ts";
import { followRoute } from "./state/route.ts";
import { resumeSession } from "./state/session.ts";
import { followWidth } from "./state/narrow.ts";
import { followTheme } from "./state/theme.ts";
import { App } from "./app.tsx";

startClock();
followRoute();
followTheme();
followWidth();
void resumeSession();
const root = document.querySelector("#app");
if (root !== null) render(<App />, root);
