// Checks the service from outside: DNS, TLS, challenge pages, health, the admin key, and the edge's warnings and alarms.
import { FleetView } from "../../shared/fleet-view.ts";
import { AdminApi } from "../api/admin-api.ts";
import { explainUnreachable } from "../api/unreachable.ts";
import { objectOf } from "../json-object.ts";
import { fine, noted, skipped, unknown, wrong, type Check, type Surroundings } from "./check.ts";

/** More than this between the clocks makes a fresh snapshot look old. */
const MAX_CLOCK_SKEW_MS = 5_000;

export const EDGE_CHECKS: readonly Check[] = [
  {
    name: "edge",
    async run({ url, machine }, signal) {
      try {
        const { status, headers, text } = await machine.fetch(`${url}/livez`, {}, signal);
        if (isChallenge(headers, text)) {
          return wrong(
            `${url} answers API clients with a web page (${status})`,
            "In the zone's security settings, turn off Bot Fight Mode, Browser Integrity Check and Under Attack mode for this host.",
          );
        }
        if (status !== 200 || headers.get("x-request-id") === null) {
          return wrong(
            `${url} is not answered by the edge (${status})`,
            "Deploy it, and check its route: npm run deploy",
          );
        }
        return fine(`${url} is answered by the edge`);
      } catch (error) {
        const { message, advice } = explainUnreachable(error, url, 0);
        return wrong(message, advice);
      }
    },
  },
  {
    name: "edge-https",
    async run({ url, machine }, signal) {
      const { protocol, host } = new URL(url);
      if (protocol !== "https:") return skipped(`${url} is on this machine`);
      const { status, headers } = await machine.fetch(`http://${host}/livez`, {}, signal);
      return headers.get("location")?.startsWith("https://") === true
        ? fine("plain http is redirected")
        : wrong(`plain http is answered with ${status}`, "Deploy this version of the edge: npm run deploy");
    },
  },
  {
    name: "service-health",
    async run({ url, machine }, signal) {
      const { status, text } = await machine.fetch(`${url}/healthz?require=all`, {}, signal);
      const answer = objectOf(text);
      if (answer === null) return unknown(`/healthz answers ${status} without JSON`, "See the check edge.");
      const notReady = Object.entries(objectMember(answer, "models")).filter(
        ([, state]) => state !== "ready",
      );
      const lost = Object.entries(objectMember(answer, "boxes")).filter(([, state]) => state !== "up");
      if (status === 200 && notReady.length === 0 && lost.length === 0)
        return fine("every model is ready on every box");
      const parts = [...lost, ...notReady].map(([name, state]) => `${name} is ${String(state)}`);
      return wrong(parts.join(", ") || `/healthz answers ${status}`, "isha status");
    },
  },
  {
    name: "admin-key",
    async run(around, signal) {
      const view = await fleetView(around, signal);
      return view === null
        ? unknown("there is no admin key here", "isha keys bootstrap --put --save")
        : fine("is accepted");
    },
  },
  {
    name: "box-warnings",
    async run(around, signal) {
      const view = await fleetView(around, signal);
      if (view === null) return unknown("only an admin key can read them", "See the check admin-key.");
      const warnings = view.boxes.flatMap(({ name, warning }) =>
        warning === null ? [] : [`${name}: ${warning}`],
      );
      return warnings.length === 0
        ? fine("none: edge and agents have the same fleet file")
        : wrong(warnings.join("; "), "Do what it states; then: isha status");
    },
  },
  {
    name: "alarms",
    async run(around, signal) {
      const view = await fleetView(around, signal);
      if (view === null) return unknown("only an admin key can read them", "See the check admin-key.");
      const active = view.alarms.filter(({ id }) => !isRemembered(id));
      const shown = active.length > 0 ? active : view.alarms;
      const [first] = shown;
      if (first === undefined) return fine("none is active");
      const text = shown.map((alarm) => alarm.text).join("; ");
      return active.length > 0
        ? wrong(text, first.advice)
        : noted(text, `Nothing, if the restarts were yours: it ends by itself. Otherwise: ${first.advice}`);
    },
  },
  {
    name: "clock",
    async run({ url, machine }, signal) {
      const { headers } = await machine.fetch(`${url}/livez`, {}, signal);
      const there = Date.parse(headers.get("date") ?? "");
      if (Number.isNaN(there)) return unknown("the edge sends no Date", "See the check edge.");
      const skewMs = Math.abs(machine.now() - there);
      return skewMs <= MAX_CLOCK_SKEW_MS
        ? fine("this machine's clock agrees with the edge's")
        : wrong(
            `this machine's clock is off by ${Math.round(skewMs / 1000)} s`,
            "sudo timedatectl set-ntp true",
          );
    },
  },
];

/** Null without an admin key. @throws CommandFailure as AdminApi does */
async function fleetView({ url, adminKey }: Surroundings, signal: AbortSignal): Promise<FleetView | null> {
  if (adminKey === null) return null;
  const api = new AdminApi({ url, key: adminKey, signal });
  return (await api.request(FleetView, "/admin/fleet")).value;
}

/** The alarm about restarts outlasts them by ten minutes; a server that is still down raises another one. */
const isRemembered = (alarmId: string): boolean => alarmId.startsWith("restart-loop:");

/** A page for browsers in place of JSON. */
function isChallenge(headers: Headers, text: string): boolean {
  return (
    headers.get("cf-mitigated") !== null ||
    (headers.get("content-type") ?? "").includes("text/html") ||
    /^\s*</.test(text)
  );
}

function objectMember(
  value: Readonly<Record<string, unknown>>,
  name: string,
): Readonly<Record<string, unknown>> {
  const member = value[name];
  return typeof member === "object" && member !== null ? { ...member } : {};
}
