// The one screen `npm start` ends in, as text. Pure: what runs comes in, lines go out.
import type { Stack } from "../stack/run.ts";
import type { FleetConfig as Fleet } from "../../shared/fleet.ts";

interface Paint {
  bold: (text: string) => string;
  dim: (text: string) => string;
  warn: (text: string) => string;
}

export function paint(colours: boolean): Paint {
  const style =
    (code: number): ((text: string) => string) =>
    (text) =>
      colours ? `\u001B[${code}m${text}\u001B[0m` : text;
  return { bold: style(1), dim: style(2), warn: style(33) };
}

export function startScreen({
  stack,
  stateOf,
  gpuSimulated,
  notes,
  paint,
}: {
  stack: Stack;
  gpuSimulated: boolean;
  /** What the server there says it is. */
  stateOf: (url: string) => string;
  /** What is not as usual, such as another port. */
  notes: string[];
  paint: Paint;
}) {
  const edge = stack.edgeUrl.replace("127.0.0.1", "localhost");
  const many = stack.boxes.length > 1;
  const agents = stack.boxes.map(({ name, agentUrl }) => ["agent", `${agentUrl}/healthz`, `of ${name}`]);
  const links = [
    ["edge", edge],
    ["docs", `${edge}/docs`],
    ["console", `${edge}/console`, 'sign in with "dev-admin"'],
    ["health", `${edge}/healthz`],
    ...agents,
  ];
  const servers = stack.boxes.flatMap((box) =>
    box.servers.map(({ port, model, url, simulated }) => [
      ...(many ? [box.name] : []),
      String(port),
      model,
      simulated ? `simulated at ${url}` : `real, at ${url}`,
      stateOf(url),
    ]),
  );
  const heading = [...(many ? ["box"] : []), "port", "model", "llama-server", "state"];
  const [head = "", ...rows] = table([heading, ...servers]);
  return [
    "",
    paint.bold("Running."),
    ...notes.map((note) => paint.warn(note)),
    "",
    ...table(links).map(indent),
    "",
    indent(paint.dim(head)),
    ...rows.map(indent),
    "",
    simulationText(stack),
    ...(gpuSimulated
      ? ["The GPU is simulated too: its memory, utilisation, temperature and power are made up."]
      : []),
    "",
    `${paint.bold("Try it")} (the key "dev-key" works on this machine only):`,
    "",
    indent(exampleCurl(edge, stack.fleet)),
    "",
    ...failureLines(stack, edge, paint),
    "Ctrl-C ends all of it.",
    "",
  ].join("\n");
}

/** Commands that break something which then recovers; none if no server is ours to end. */
function failureLines({ boxes }: Stack, edge: string, { bold }: Paint) {
  const box = boxes[0];
  const server = box?.servers.findLast(({ pid }) => pid !== null);
  if (box === undefined || server === undefined) return [];
  const isha = `ISHA_URL=${edge} ISHA_ADMIN_KEY=dev-admin npm run isha --`;
  const kills = table([
    [`kill -9 ${server.pid}`, `# ${server.model} on ${server.port} dies: its calls move, and it loads again`],
    [`kill -9 ${box.agentPid}`, `# the agent of ${box.name}`],
  ]);
  return [
    `${bold("Break it")} and watch the console; what ends is started again, as under PM2:`,
    "",
    ...[...kills, `${isha} box restart ${box.name} ${server.port}`, `${isha} status`].map(indent),
    "",
  ];
}

/** A call that works when pasted. */
export function exampleCurl(edge: string, fleet: Fleet) {
  const body = {
    agent_type: exampleAgent(fleet),
    messages: [{ role: "user", content: "Patient complaint: chest pain" }],
  };
  const headers = ["Authorization: Bearer dev-key", "Content-Type: application/json"];
  const options = [...headers.map((header) => `-H '${header}'`), `-d '${JSON.stringify(body)}'`];
  return `curl -N ${edge}/v1/chat/completions ${options.join(" ")}`;
}

/** The last model's first agent type: not the default's, so that the call shows routing. */
function exampleAgent(fleet: Fleet) {
  const chatting = fleet.boxes.flatMap(({ servers }) =>
    servers.filter(({ capabilities }) => capabilities.includes("chat")),
  );
  return chatting.findLast(({ agents }) => agents.length > 0)?.agents[0] ?? "Default";
}

function simulationText({ boxes }: Stack) {
  const servers = boxes.flatMap(({ servers }) => servers);
  const simulated = servers.filter(({ simulated }) => simulated);
  if (simulated.length === 0) return "Every llama-server is a real one.";
  const marked = 'answers are made up, and marked "x-isha-simulated: 1"';
  if (simulated.length < servers.length) {
    return `The ${marked}, if a server is simulated: ${simulated.map(({ port }) => port).join(", ")}.`;
  }
  return (
    `Every llama-server is simulated: its ${marked}.\n` +
    "If real ones run on the ports of the fleet file, `npm start -- --real` uses them."
  );
}

/** Columns as wide as their widest cell. */
function table(rows: readonly (readonly string[])[]) {
  const widths = rows.reduce(
    (widths, row) =>
      row.map((cell, at) => Math.max(cell.length, widths[at] ?? 0)).concat(widths.slice(row.length)),
    [] as number[],
  );
  return rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

const indent = (line: string) => `  ${line}`;
