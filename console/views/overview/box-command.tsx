// Drain, resume, restart: what each does is said before it is done.
import * as z from "zod";
import type { FleetBoxView } from "../../../shared/fleet-view.ts";
import type { Outcome } from "../../api/edge-client.ts";
import { counted } from "../../model/figure.ts";
import { Confirm } from "../../components/confirm.tsx";
import { tell } from "../../state/notice.ts";
import { session } from "../../state/session.ts";

export type Command =
  | { readonly kind: "drain" | "resume" }
  | { readonly kind: "restart"; readonly port: number };

interface BoxCommandProps {
  readonly box: FleetBoxView;
  readonly command: Command;
  readonly onClose: () => void;
}

export function BoxCommand({ box, command, onClose }: BoxCommandProps) {
  const { title, action, danger, path, text, done } = wordsOf(box, command);
  const run = async (): Promise<Outcome<unknown>> => {
    const edge = session.value?.edge;
    if (edge === undefined) return { ok: true, value: null };
    return edge.send("POST", path, null, z.unknown());
  };
  const finish = (): void => {
    tell(done);
    onClose();
  };
  return (
    <Confirm title={title} action={action} danger={danger} run={run} onDone={finish} onClose={onClose}>
      {text.map((line) => (
        <p key={line}>{line}</p>
      ))}
    </Confirm>
  );
}

interface CommandWords {
  readonly title: string;
  readonly action: string;
  readonly danger: boolean;
  readonly path: string;
  readonly text: readonly string[];
  readonly done: string;
}

function wordsOf(box: FleetBoxView, command: Command): CommandWords {
  const base = `/admin/boxes/${encodeURIComponent(box.name)}`;
  const busy = box.servers.reduce((sum, server) => sum + server.busy, 0);
  switch (command.kind) {
    case "drain":
      return {
        title: `Drain ${box.name}?`,
        action: `Drain ${box.name}`,
        danger: false,
        path: `${base}/drain`,
        text: [
          "It takes no further calls until somebody resumes it. What runs there goes on to its end.",
          box.state === "silent"
            ? "It is silent now: it hears of this when it is back."
            : busy === 0
              ? "Nothing runs there now."
              : `Now ${counted(busy, "slot is", "slots are")} at work.`,
        ],
        done: `${box.name} was told to drain.`,
      };
    case "resume":
      return {
        title: `Resume ${box.name}?`,
        action: `Resume ${box.name}`,
        danger: false,
        path: `${base}/resume`,
        text: ["It takes calls again at once."],
        done: `${box.name} was told to resume.`,
      };
    case "restart":
      return restartWords(box, command.port, base);
  }
}

function restartWords(box: FleetBoxView, port: number, base: string): CommandWords {
  // As it is now, not as it was when the button was pressed.
  const server = box.servers.find((candidate) => candidate.port === port);
  const busy = server?.busy ?? 0;
  return {
    title: `Restart ${port} on ${box.name}?`,
    action: `Restart ${port}`,
    danger: true,
    path: `${base}/servers/${port}/restart`,
    text: [
      `PM2 restarts ${server?.pm2 ?? "it"}; ${server?.model ?? "its model"} is away while its weights load.`,
      busy === 0
        ? "No call runs there now."
        : `${busy === 1 ? "One call runs" : `${busy} calls run`} there: what can be continued elsewhere is, the others end with an error.`,
    ],
    done: `PM2 was told to restart ${port} on ${box.name}.`,
  };
}
