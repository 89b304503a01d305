// The admin routes as operations. Bodies and queries come from the schemas that validate them.
import type * as z from "zod";
import { HistoryQuery } from "../../../shared/fleet-view.ts";
import { AuditQuery, KeyChange, KeyListQuery, KeyRotation, NewKey } from "../../../shared/keys.ts";
import { UsageQuery } from "../../../shared/usage-report.ts";
import { inputSchema } from "./input-schema.ts";
import { REQUEST_ID, type ExampleNames } from "./call-examples.ts";
import { json, ref, type Answer, type Operation, type Parameter, type Schema } from "./types.ts";

function queryParameters(schema: z.core.$ZodType, notes: Readonly<Record<string, string>>): Parameter[] {
  const { properties = {}, required = [] } = inputSchema(schema) as {
    properties?: Record<string, Schema>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: "query",
    required: required.includes(name) && property["default"] === undefined,
    description: notes[name] ?? "",
    schema: property,
  }));
}

const inPath = (name: string, description: string, example: string): Parameter => ({
  name,
  in: "path",
  required: true,
  description,
  schema: { type: "string" },
  example,
});
const KEY_ID = inPath("id", "The key's id.", "Ab3dE5fG");
const PAGE = { after: "`next` of the previous page.", limit: "Entries of one page." };

const answer = (schema: string, description: string, status = 200): Answer => ({
  status,
  description,
  content: json(ref(schema)),
});

const READ = [401, 403, 429, 503];
const WRITE = [400, 401, 403, 408, 413, 415, 429, 503];

type Row = Omit<Operation, "tag" | "scope">;

const KEYS: readonly Row[] = [
  {
    method: "post",
    path: "/admin/keys",
    id: "create_key",
    summary: "Create a key",
    description: "The answer is the only one that contains the key.",
    body: {
      required: true,
      schema: inputSchema(NewKey),
      example: { name: "Riverside Clinic", agents: null, limits: { tokensPerMonth: 5_000_000 } },
    },
    answers: [answer("KeyWithSecret", "The key.", 201)],
    errors: WRITE,
  },
  {
    method: "get",
    path: "/admin/keys",
    id: "list_keys",
    summary: "List the keys",
    description: "Oldest first; the fleet file's legacy keys last. No answer contains a secret.",
    parameters: queryParameters(KeyListQuery, { state: "Only keys in this state.", ...PAGE }),
    answers: [answer("KeyList", "One page of keys.")],
    errors: [400, ...READ],
  },
  {
    method: "get",
    path: "/admin/keys/{id}",
    id: "show_key",
    summary: "Show a key",
    description: "Without its secret.",
    parameters: [KEY_ID],
    answers: [answer("Key", "The key.")],
    errors: [404, ...READ],
  },
  {
    method: "patch",
    path: "/admin/keys/{id}",
    id: "change_key",
    summary: "Change a key",
    description: "Absent fields stay the same. It takes effect within a second.",
    parameters: [KEY_ID],
    body: { required: true, schema: inputSchema(KeyChange), example: { limits: { perSecond: 50 } } },
    answers: [answer("Key", "The changed key.")],
    errors: [404, ...WRITE],
  },
  {
    method: "delete",
    path: "/admin/keys/{id}",
    id: "revoke_key",
    summary: "Revoke a key",
    description: "No call is admitted with it a second later. Running calls finish, queued ones are refused.",
    parameters: [KEY_ID],
    answers: [answer("Key", "The revoked key.")],
    errors: [400, 404, ...READ],
  },
  {
    method: "post",
    path: "/admin/keys/{id}/rotate",
    id: "rotate_key",
    summary: "Give a key a new secret",
    description: "The old secret stays valid for the grace period.",
    parameters: [KEY_ID],
    body: { required: false, schema: inputSchema(KeyRotation), example: { graceSeconds: 86_400 } },
    answers: [answer("KeyWithSecret", "The key with its new secret.")],
    errors: [404, ...WRITE],
  },
  {
    method: "get",
    path: "/admin/audit",
    id: "audit",
    summary: "List the operators' actions",
    description: "Newest first.",
    parameters: queryParameters(AuditQuery, { target: "Only actions on this key, box or server.", ...PAGE }),
    answers: [answer("AuditList", "One page of entries.")],
    errors: [400, ...READ],
  },
  {
    method: "get",
    path: "/admin/usage",
    id: "usage",
    summary: "Sum the usage over a time range",
    description: "By key, model, agent type, day or hour. Hours are stored for 90 days, days for 25 months.",
    parameters: queryParameters(UsageQuery, {
      key: "Only this key.",
      from: "The start: a time or a day in UTC.",
      to: "The end, not included.",
      by: "How to group.",
      split:
        "Splits each day or hour by the eight names that used most, and all others; hours for up to 31 days.",
      format: "By default the `Accept` header decides.",
    }),
    answers: [
      {
        status: 200,
        description: "The sums.",
        content: { ...json(ref("UsageReport")), "text/csv": { schema: { type: "string" } } },
      },
    ],
    errors: [400, ...READ],
  },
  {
    method: "get",
    path: "/admin/requests/{id}",
    id: "show_request",
    summary: "Show why a request was refused or failed",
    description: "The newest 10,000 refused or failed requests of known keys, for 24 hours.",
    parameters: [inPath("id", "The request's id.", REQUEST_ID)],
    answers: [answer("FailedRequest", "The record.")],
    errors: [400, 404, ...READ],
  },
];

const fleetRows = ({ box, port }: ExampleNames): readonly Row[] => [
  {
    method: "get",
    path: "/admin/fleet",
    id: "fleet",
    summary: "Show the live fleet",
    description: "Boxes, servers, GPUs, traffic, failures, events and alarms.",
    answers: [answer("Fleet", "The fleet.")],
    errors: READ,
  },
  {
    method: "get",
    path: "/admin/fleet/events",
    id: "fleet_events",
    summary: "Follow the fleet",
    description:
      "Sends a `fleet` event with the whole view on each change, and `alive` every 5 s without one. It ends after 5 minutes: connect again.",
    answers: [
      {
        status: 200,
        description: "Server-sent events.",
        content: {
          "text/event-stream": {
            schema: { type: "string", contentMediaType: "application/json", contentSchema: ref("Fleet") },
            example: "event: fleet\ndata: {…}\n\n",
          },
        },
      },
    ],
    errors: READ,
  },
  {
    method: "get",
    path: "/admin/fleet/history",
    id: "fleet_history",
    summary: "Show a box's last hours",
    description: "Columns of equal length, oldest first, for up to 24 hours.",
    parameters: queryParameters(HistoryQuery, { box: "The box's name.", minutes: "How far back." }),
    answers: [answer("FleetHistory", "The columns.")],
    errors: [400, 404, ...READ],
  },
  {
    method: "post",
    path: "/admin/boxes/{box}/drain",
    id: "drain_box",
    summary: "Take a box out of service",
    description: "It takes no new calls; running ones finish.",
    parameters: [inPath("box", "The box's name.", box)],
    answers: [answer("CommandSent", "The command was sent.", 202)],
    errors: [404, ...READ],
  },
  {
    method: "post",
    path: "/admin/boxes/{box}/resume",
    id: "resume_box",
    summary: "Put a box back into service",
    description: "Ends a drain.",
    parameters: [inPath("box", "The box's name.", box)],
    answers: [answer("CommandSent", "The command was sent.", 202)],
    errors: [404, ...READ],
  },
  {
    method: "post",
    path: "/admin/boxes/{box}/servers/{port}/restart",
    id: "restart_server",
    summary: "Restart a llama-server",
    description:
      "Its agent restarts it through PM2. The answer states the outcome and comes once the server is ready, or after 55 s.",
    parameters: [inPath("box", "The box's name.", box), inPath("port", "The server's port.", String(port))],
    answers: [
      answer("RestartResult", "It was restarted and is ready."),
      answer(
        "RestartResult",
        "It isn't ready yet, or its agent hasn't reported: `advice` says what to look at.",
        202,
      ),
    ],
    errors: [404, 502, ...READ],
  },
  {
    method: "post",
    path: "/admin/alerts/test",
    id: "test_alerts",
    summary: "Send a test alarm",
    description: "To the address in `ALERT_WEBHOOK_URL`.",
    answers: [
      {
        status: 200,
        description: "It was accepted there.",
        content: json({
          type: "object",
          properties: { delivered: { const: true } },
          required: ["delivered"],
        }),
      },
    ],
    errors: [400, 502, ...READ],
  },
];

export function adminOperations(names: ExampleNames): Operation[] {
  return [
    ...KEYS.map((row): Operation => ({ ...row, tag: "Keys and usage", scope: "admin" })),
    ...fleetRows(names).map((row): Operation => ({ ...row, tag: "Fleet", scope: "admin" })),
  ];
}
