// Validates a key's fields against the fleet file: agent types, limits and dates. Pure; the clock is passed in.
import { ok, refuse, type Result } from "../../shared/errors.ts";
import { DEFAULT_AGENT } from "../../shared/fleet.ts";
import type { KeyChange, NewKey } from "../../shared/keys.ts";
import type { KeyRecord, RecordChange } from "../../shared/principal.ts";
import type { FleetIndex } from "../fleet/fleet-index.ts";

export function newRecord(body: NewKey, index: FleetIndex, now: number): Result<KeyRecord> {
  const { limits, agents, expiresAt, ...rest } = body;
  const checked = checkFields({ limits, agents, expiresAt }, index, now);
  if (!checked.ok) return checked;
  const { concurrent, tokensPerMonth, perSecond = index.fleet.limits.perKeyPerSecond } = limits;
  return ok({
    ...rest,
    limits: { perSecond, concurrent, tokensPerMonth },
    agents: checked.value.agents ?? null,
    expiresAt: checked.value.expiresAt ?? null,
  });
}

export function recordChange(body: KeyChange, index: FleetIndex, now: number): Result<RecordChange> {
  const { limits, agents, expiresAt, ...rest } = body;
  const checked = checkFields({ limits, agents, expiresAt }, index, now);
  if (!checked.ok) return checked;
  return ok({
    ...defined(rest),
    ...(limits === undefined ? {} : { limits: defined(limits) }),
    ...checked.value,
  });
}

/** When a change ends a key's admin rights, in milliseconds since 1970; null if it doesn't end them earlier. */
export function adminEnds(
  { scopes, expiresAt }: RecordChange,
  record: Pick<KeyRecord, "expiresAt">,
  now: number,
): number | null {
  if (scopes?.includes("admin") === false) return now;
  if (expiresAt == null) return null;
  return record.expiresAt === null || expiresAt < record.expiresAt ? expiresAt : null;
}

interface Fields {
  readonly limits: { readonly perSecond?: number | undefined } | undefined;
  readonly agents: readonly string[] | null | undefined;
  readonly expiresAt: string | null | undefined;
}

function checkFields(
  { limits, agents, expiresAt }: Fields,
  index: FleetIndex,
  now: number,
): Result<Pick<RecordChange, "agents" | "expiresAt">> {
  const max = index.fleet.limits.perKeyPerSecond;
  if (limits?.perSecond !== undefined && limits.perSecond > max) {
    return refuse(
      "invalid_request",
      `limits.perSecond: must be at most ${max}, the limit in the fleet file; got ${limits.perSecond}.`,
      {
        param: "limits.perSecond",
      },
    );
  }
  const named = agents == null ? ok(agents) : namedAgents(agents, index);
  if (!named.ok) return named;
  const until = typeof expiresAt === "string" ? Date.parse(expiresAt) : expiresAt;
  if (typeof until === "number" && until <= now) {
    return refuse(
      "invalid_request",
      "expiresAt: must be in the future. To end a key now, revoke it: DELETE /admin/keys/<id>.",
      {
        param: "expiresAt",
      },
    );
  }
  return ok({
    ...(named.value === undefined ? {} : { agents: named.value }),
    ...(until === undefined ? {} : { expiresAt: until }),
  });
}

/** Agent types as the fleet file writes them, each once; the input may have any letter case. */
function namedAgents(agents: readonly string[], index: FleetIndex): Result<string[]> {
  const known = [...[...index.byAgent.values()].map(({ name }) => name), DEFAULT_AGENT];
  const spelled = new Map(known.map((name) => [name.toLowerCase(), name]));
  const named = new Set<string>();
  for (const [at, agent] of agents.entries()) {
    const name = spelled.get(agent.trim().toLowerCase());
    if (name === undefined) {
      const param = `agents[${at}]`;
      const all = known.join(", ");
      return refuse("invalid_request", `${param}: must be one of ${all}.`, {
        param,
      });
    }
    named.add(name);
  }
  return ok([...named]);
}

/** The fields that are present. */
function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
