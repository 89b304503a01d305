// Drain, resume and restart: dialogs that explain each command before it is sent.
import * as z from "zod";
import type { FleetBoxView } from "../../../shared/fleet-view.ts";
import { RESTART_ANSWER_MS } from "../../../shared/limits.ts";
import { quantityText } from "../../model/format.ts";
import { Confirm } from "../../components/confirm.tsx";
import { showNotice } from "../../state/notice.ts";
import { send } from "../../state/session.ts";

export type Command =
  | { readonly kind: "drain" | "resume" }
  | { readonly kind: "restart"; readonly port: number };

interface BoxCommandProps {
  readonly box: FleetBoxView;
  readonly command: Command;
  readonly onClose: () => void;
}

/** A restart's answer states its outcome, and what to look at; other commands have none. */
const Answer = z.object({ text: z.string().optional(), advice: z.string().optional() });

export function BoxCommand({ box, command, onClose }: BoxCommandProps) {
  const { title, action, danger, path, text, done } = textOf(box, command);
  const finish = ({ text: outcome, advice = "" }: z.infer<typeof Answer>): void => {
    showNotice(outcome === undefined ? done : advice === "" ? `${outcome}.` : `${outcome}. ${advice}`);
    onClose();
  };
  return (
    <Confirm
      title={title}
      action={action}
      danger={danger}
      run={() => send("POST", path, null, Answer, RESTART_ANSWER_MS)}
      onDone={finish}
      onClose={onClose}
    >
      {text.map((line) => (
        <p key={line}>{line}</p>
      ))}
    </Confirm>
  );
}

interface CommandText {
  readonly title: string;
  readonly action: string;
  readonly danger: boolean;
  readonly path: string;
  readonly text: readonly string[];
  readonly done: string;
}

function textOf(box: FleetBoxView, command: Command): CommandText {
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
          "It takes no new calls until an operator resumes it. Running calls finish.",
          box.state === "silent"
            ? "It is silent now and receives the command when it is back."
            : busy === 0
              ? "No calls run there now."
              : `Now ${quantityText(busy, "slot is", "slots are")} busy.`,
        ],
        done: `Requested a drain of ${box.name}.`,
      };
    case "resume":
      return {
        title: `Resume ${box.name}?`,
        action: `Resume ${box.name}`,
        danger: false,
        path: `${base}/resume`,
        text: ["It takes calls again at once."],
        done: `Requested a resume of ${box.name}.`,
      };
    case "restart":
      return restartText(box, command.port, base);
  }
}

function restartText(box: FleetBoxView, port: number, base: string): CommandText {
  // The server's current state, not the one when the button was pressed.
  const server = box.servers.find((candidate) => candidate.port === port);
  const busy = server?.busy ?? 0;
  return {
    title: `Restart ${port} on ${box.name}?`,
    action: `Restart ${port}`,
    danger: true,
    path: `${base}/servers/${port}/restart`,
    text: [
      `PM2 restarts ${server?.pm2 ?? "it"}; ${server?.model ?? "its model"} is unavailable until its weights are loaded.`,
      busy === 0
        ? "No calls run there now."
        : `${busy === 1 ? "One call runs" : `${busy} calls run`} there. A call continues elsewhere if possible; otherwise it ends with an error.`,
    ],
    done: `Requested a restart of ${port} on ${box.name}.`,
  };
}
