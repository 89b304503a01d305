// Schemas of the answers of the admin routes and of the public ones. A test holds them to real answers.
import { DEFAULT_AGENT, FALLBACK_POLICIES, PRIORITIES } from "../../../shared/fleet.ts";
import { KEY_STATES } from "../../../shared/keys.ts";
import { SCOPES } from "../../../shared/principal.ts";
import { USAGE_GROUPS, USAGE_SPLITS } from "../../../shared/usage-report.ts";
import { integer, list, named, nullable, object, ref, text, type Schema } from "./types.ts";

const number: Schema = { type: "number" };
const flag: Schema = { type: "boolean" };
const time: Schema = { type: "string", format: "date-time" };
const millis: Schema = { type: "number", description: "Milliseconds since 1970." };
const figure: Schema = { type: ["number", "null"], description: "Null if unknown, never 0 instead." };
const oneOf = (values: readonly string[]): Schema => ({ type: "string", enum: values });

const key = {
  id: text,
  name: text,
  state: oneOf(KEY_STATES),
  scopes: list(oneOf(SCOPES)),
  agents: named("The agent types that it may use; null for all.", nullable(list(text))),
  limits: object({ perSecond: integer, concurrent: nullable(integer), tokensPerMonth: nullable(integer) }),
  priority: oneOf(PRIORITIES),
  fallback: oneOf(FALLBACK_POLICIES),
  addressExempt: named("Whether the address limit doesn't apply to it.", flag),
  expiresAt: nullable(time),
  createdAt: nullable(time),
  revokedAt: nullable(time),
  oldSecretUntil: named("Until when the secret from before the last rotation is valid.", nullable(time)),
};

const failure = {
  requestId: text,
  at: millis,
  code: text,
  route: text,
  key: nullable(text),
  cause: named("For operators: the box and the cause.", nullable(text)),
  agentType: named(
    "The agent type under which the edge decided the call's route; null if it got no decision.",
    nullable(text),
  ),
  param: named("The path of the wrong field, if one was.", text),
  model: named("The model that the call was for, if it got that far.", text),
  port: named("Its server's port.", integer),
  retryAfterS: named("Seconds after which the client was asked to try again.", integer),
};
/** Absent if the refusal had none. */
const FACTS = ["param", "model", "port", "retryAfterS"];

const sums = {
  calls: integer,
  complete: named("Calls whose answer was complete.", integer),
  promptTokens: integer,
  cachedTokens: integer,
  completionTokens: integer,
  estimatedCalls: named("Calls whose tokens are an estimate.", integer),
};

const gpu = object({
  name: text,
  memoryUsedGib: figure,
  memoryTotalGib: figure,
  utilizationPercent: figure,
  temperatureC: figure,
  powerWatts: figure,
});

const fleetServer = object({
  port: integer,
  pm2: text,
  model: text,
  agents: list(text),
  state: text,
  why: named("The reason for the state; empty if it needs none.", text),
  since: nullable(millis),
  slots: integer,
  busy: integer,
  waiting: integer,
  places: integer,
  waitMs: figure,
  tokensPerSecond: figure,
  firstTokenP50Ms: figure,
  firstTokenP95Ms: figure,
  gpuGib: figure,
  budgetGib: number,
  restarts: figure,
});

const fleetBox = object({
  name: text,
  gpu: text,
  vramGib: number,
  state: oneOf(["up", "draining", "silent"]),
  drainedAt: named("When an operator drained it; null if none did.", nullable(millis)),
  lastSeenAt: nullable(millis),
  version: nullable(text),
  agents: integer,
  warning: nullable(text),
  fleetHash: named("SHA-256 of its agent's fleet file; null if no agent reports.", nullable(text)),
  gpus: nullable(list(gpu)),
  servers: list(fleetServer),
  usageBehindMs: figure,
});

const codeCounts = list(object({ code: text, count: integer }));

const trafficWindow = object({
  windowS: number,
  coveredS: named("Shorter than the window if the agents run for less.", number),
  byAgent: named(
    "Null if no agent reports.",
    nullable(
      list(
        object({
          agent: text,
          calls: integer,
          ours: named("Calls that failed through no fault of their caller.", integer),
          callers: named("Calls that failed through their caller's fault.", integer),
          p50Ms: figure,
          p95Ms: figure,
          firstP50Ms: figure,
          firstP95Ms: figure,
        }),
      ),
    ),
  ),
  byCode: codeCounts,
});

const traffic = object({
  windowS: number,
  byAgent: list(object({ agent: text, calls: integer, tokens: integer })),
  byCode: codeCounts,
  fallbacks: integer,
  recoveries: integer,
  windows: named("Five minutes and an hour.", list(trafficWindow)),
});

const model = object({
  kind: oneOf(["model", "agent_type"]),
  model: text,
  file: text,
  ports: list(integer),
  agent_types: named(
    `The agent types that it serves; \`${DEFAULT_AGENT}\` stands for all others.`,
    list(text),
  ),
  description: text,
  best_for: text,
  context_length: named("Tokens of prompt and answer together.", integer),
  max_tokens: named("The most tokens of one answer.", integer),
  capabilities: list(text),
  state: oneOf(["ready", "loading", "down"]),
});

export const ANSWER_SCHEMAS: Readonly<Record<string, Schema>> = {
  Model: object({ id: text, object: { const: "model" }, created: integer, owned_by: text, isha: model }),
  ModelList: object({ object: { const: "list" }, data: list(ref("Model")) }),
  AnthropicModel: object({
    type: { const: "model" },
    id: text,
    display_name: text,
    created_at: time,
    max_input_tokens: integer,
    max_tokens: integer,
    isha: model,
  }),
  AnthropicModelList: object({
    data: list(ref("AnthropicModel")),
    has_more: flag,
    first_id: nullable(text),
    last_id: nullable(text),
  }),
  Health: object(
    {
      status: oneOf(["ok", "degraded", "down"]),
      boxes: { type: "object", additionalProperties: oneOf(["up", "draining", "down", "unreachable"]) },
      models: { type: "object", additionalProperties: oneOf(["ready", "loading", "down"]) },
      missing: named("The agent types of `require` that aren't ready.", list(text)),
      simulated: named("Some servers or cards are simulated, as under `npm start`; absent if none is.", {
        const: true,
      }),
    },
    ["missing", "simulated"],
  ),
  Key: object(key),
  KeyWithSecret: object({ ...key, key: named("The key itself. No other answer has it.", text) }),
  KeyList: object({
    keys: list(ref("Key")),
    next: named("`after` of the next page; null on the last.", nullable(text)),
  }),
  AuditList: object({
    entries: list(
      object({
        at: time,
        actor: named("The id of the admin key that was used.", text),
        action: text,
        target: text,
        detail: { type: "object" },
        requestId: text,
      }),
    ),
    next: nullable(text),
  }),
  UsageReport: object(
    {
      from: time,
      to: named("Not included.", time),
      by: oneOf(USAGE_GROUPS),
      split: named("Present if it was requested.", oneOf(USAGE_SPLITS)),
      key: nullable(text),
      total: object(sums),
      rows: list(
        object(
          {
            group: text,
            split: named("In a split report: the name, or null for all others together.", nullable(text)),
            ...sums,
          },
          ["split"],
        ),
      ),
    },
    ["split"],
  ),
  FailedRequest: object(
    {
      ...failure,
      at: time,
    },
    FACTS,
  ),
  Fleet: object({
    at: millis,
    fleetHash: named("SHA-256 of the edge's fleet file.", text),
    boxes: list(fleetBox),
    traffic,
    failures: list(object(failure, FACTS)),
    failureGroups: named(
      "The most frequent of the last hour.",
      list(object({ code: text, key: nullable(text), count: integer, lastAt: millis })),
    ),
    events: list(
      object({ id: integer, at: millis, box: nullable(text), port: nullable(integer), level: text, text }),
    ),
    alarms: list(object({ id: text, since: millis, text, advice: text })),
  }),
  FleetHistory: object({
    box: text,
    stepS: number,
    at: list(millis),
    memoryUsedGib: list(figure),
    utilizationPercent: list(figure),
    temperatureC: list(figure),
    powerWatts: list(figure),
    tokensPerSecond: list(figure),
    busy: list(figure),
    waiting: list(figure),
    serverGib: { type: "object", additionalProperties: list(figure) },
  }),
  CommandSent: object({ box: text, agents: named("Agents that received it.", integer) }),
  RestartResult: object({
    box: text,
    port: integer,
    agents: named("Agents that received it.", integer),
    outcome: named(
      "`ready`; `not-ready` if it was restarted but isn't ready yet; null if the agent hasn't reported in time.",
      nullable(oneOf(["ready", "not-ready"])),
    ),
    tookMs: named("Time from the command to the outcome.", nullable(integer)),
    text: named("What happened.", text),
    advice: named("What to look at; empty if nothing is to be done.", text),
  }),
};
