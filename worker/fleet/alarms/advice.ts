// The runbook's line for each alarm, with the names of the box, the server and the commands to run;
// `docs/operations.md` has more under the same kinds. Pure.

export type AlarmKind =
  | "box-silent"
  | "not-ready"
  | "restart-loop"
  | "slow"
  | "heat"
  | "errors"
  | "usage-behind"
  | "drained-long";

export interface AlarmSubject {
  readonly box: string;
  /** Null for an alarm about a box. */
  readonly port: number | null;
  /** The server's name in PM2; null if the edge hasn't sent it to the object yet. */
  readonly process: string | null;
  /** A request that failed by our fault; null if none is stored. */
  readonly failedRequest: string | null;
}

export function adviceOf(kind: AlarmKind, { box, port, process, failedRequest }: AlarmSubject): string {
  const log = `pm2 logs ${process ?? `<the name that pm2 ls shows for ${port}>`}`;
  const restart = `isha box restart ${box} ${port}`;
  switch (kind) {
    case "box-silent":
      return `On ${box}: \`pm2 status\`, \`pm2 logs isha-agent\`, \`systemctl status cloudflared\`. Calls go to other boxes, or fail with \`box_unreachable\`.`;
    case "not-ready":
      return `On ${box}: \`${log}\`. If it can't load, \`nvidia-smi\` shows which process has the memory; \`${restart}\` restarts it.`;
    case "restart-loop":
      return `On ${box}: \`${log} --err\`. Usual causes: the model file is missing, another process uses the memory, or a prompt crashes it.`;
    case "slow":
      return `On ${box}: \`nvidia-smi\`. A model without GPU memory runs on the CPU: \`${restart}\` once the card has room.`;
    case "heat":
      return `Check the fans and the airflow of ${box}. \`nvidia-smi -q -d TEMPERATURE,PERFORMANCE\` there shows whether the card throttles.`;
    case "errors":
      return `\`isha why ${failedRequest ?? "<request-id>"}\` explains a failed request${failedRequest === null ? " that `isha status --json` lists" : ""}; then, on ${box}: \`pm2 logs isha-agent\`.`;
    case "usage-behind":
      return `Usage waits in the journal of ${box} and is not lost while that is \`ok\`. On ${box}: \`df -h\`, \`pm2 logs isha-agent\` (does the agent reach the edge?).`;
    case "drained-long":
      return `\`isha box resume ${box}\` once the work on it is done.`;
  }
}
