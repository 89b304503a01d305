// The targets of a playground request: the agent types, ports and models of the fleet.
import { DEFAULT_AGENT } from "../../shared/fleet.ts";
import type { FleetView } from "../../shared/fleet-view.ts";

export type Target =
  | { readonly kind: "agent"; readonly name: string }
  | { readonly kind: "port"; readonly port: number }
  | { readonly kind: "model"; readonly name: string };

export interface TargetGroup {
  readonly label: string;
  readonly options: readonly { readonly value: string; readonly label: string }[];
}

export function targetGroups(view: FleetView | null): TargetGroup[] {
  const servers = view === null ? [] : view.boxes.flatMap((box) => box.servers);
  const byPort = new Map(servers.map((server) => [server.port, server]));
  const models = [...new Set(servers.map(({ model }) => model))];
  return [
    {
      label: "Agent type",
      options: agentTypes(view).map((name) => ({ value: `agent:${name}`, label: name })),
    },
    {
      label: "Port, no other while it is up",
      options: [...byPort.values()].map(({ port, model }) => ({
        value: `port:${port}`,
        label: `${port} · ${model}`,
      })),
    },
    {
      label: "Model, in OpenAI's format",
      options: models.map((name) => ({ value: `model:${name}`, label: name })),
    },
  ];
}

/** The default comes first: clients without an agent type get it. */
export function agentTypes(view: FleetView | null): string[] {
  const named = (view?.boxes ?? []).flatMap((box) => box.servers.flatMap(({ agents }) => agents));
  return [DEFAULT_AGENT, ...new Set(named.filter((agent) => agent !== DEFAULT_AGENT).toSorted())];
}

/** The target of an option's value. */
export function targetOf(value: string): Target {
  const colon = value.indexOf(":");
  const name = value.slice(colon + 1);
  if (value.startsWith("port:")) return { kind: "port", port: Number(name) };
  return { kind: value.startsWith("model:") ? "model" : "agent", name };
}

/** The option's value of a target, as in the address. */
export function targetValue(target: Target): string {
  return `${target.kind}:${target.kind === "port" ? target.port : target.name}`;
}

/** The target in a link; the default if the fleet doesn't have it. */
export function linkedTarget(value: string, view: FleetView | null): Target {
  const exists = targetGroups(view).some(({ options }) => options.some((option) => option.value === value));
  return targetOf(exists ? value : `agent:${DEFAULT_AGENT}`);
}
