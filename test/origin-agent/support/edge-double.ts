// Simulates the edge's end of the link: a WebSocket server that keeps all frames and books usage like the ledger,
// with fault switches.
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { WebSocketServer, type WebSocket } from "ws";
import type { UsageCall } from "../../../shared/usage.ts";
import { AgentFrame, LINK_PATH, PING, PONG, readFrame, type EdgeFrame } from "../../../shared/wire.ts";
import { until } from "../../support/until.ts";

export interface EdgeDouble {
  readonly url: string;
  /** Every frame, in order, over all connections. */
  readonly frames: AgentFrame[];
  /** Why frames couldn't be read. */
  readonly faults: string[];
  /** Headers of each upgrade request. */
  readonly upgrades: IncomingHttpHeaders[];
  /** Each booked call, by epoch and seq. */
  readonly booked: Map<string, UsageCall>;
  /** Calls that were booked twice, which must never happen. */
  readonly twice: string[];
  readonly switches: {
    /** The status to send instead of opening a link. */
    refuse: number | null;
    /** `ignored`: not booked. `unacknowledged`: booked but not acknowledged. */
    usage: "acknowledged" | "ignored" | "unacknowledged";
  };
  /** Open links. */
  links(): number;
  send(frame: EdgeFrame | string | Buffer): void;
  /** Resets every link, so that both ends notice. */
  cut(): void;
  /** Waits until `count` frames of a type have arrived. */
  received<T extends AgentFrame["t"]>(t: T, count?: number): Promise<Extract<AgentFrame, { t: T }>[]>;
  close(): Promise<void>;
}

export async function startEdgeDouble(): Promise<EdgeDouble> {
  const http = createServer();
  const server = new WebSocketServer({ noServer: true });
  const lastSeqs = new Map<string, number>();
  const sockets = new Set<Socket>();
  const double: Omit<EdgeDouble, "url"> = {
    frames: [],
    faults: [],
    upgrades: [],
    booked: new Map(),
    twice: [],
    switches: { refuse: null, usage: "acknowledged" },
    links: () => server.clients.size,
    send: (frame) => {
      const text = typeof frame === "string" || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame);
      for (const client of server.clients) client.send(text);
    },
    cut: () => {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    received: async (t, count = 1) => {
      const found = (): Extract<AgentFrame, { t: typeof t }>[] =>
        double.frames.filter((frame): frame is Extract<AgentFrame, { t: typeof t }> => frame.t === t);
      await until(() => found().length >= count);
      return found();
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => http.close(resolve));
    },
  };
  http.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    // An agent may disconnect during a refusal.
    socket.on("error", () => {});
  });
  http.on("upgrade", (request, socket, head) => {
    double.upgrades.push(request.headers);
    const { refuse } = double.switches;
    if (refuse !== null || request.url !== LINK_PATH) {
      socket.end(`HTTP/1.1 ${refuse ?? 404} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
      return;
    }
    server.handleUpgrade(request, socket, head, (client) => {
      client.on("message", (data, isBinary) =>
        onMessage(double, lastSeqs, client, !isBinary && Buffer.isBuffer(data) ? data.toString("utf8") : ""),
      );
      client.on("error", () => {});
    });
  });
  await new Promise<void>((resolve) => void http.listen(0, "127.0.0.1", resolve));
  return { ...double, url: `http://127.0.0.1:${(http.address() as AddressInfo).port}` };
}

function onMessage(
  double: Omit<EdgeDouble, "url">,
  lastSeqs: Map<string, number>,
  client: WebSocket,
  text: string,
): void {
  if (text === PING) return client.send(PONG);
  const read = readFrame(AgentFrame, text);
  if (read.kind !== "frame")
    return void double.faults.push(read.kind === "invalid" ? read.reason : "unknown");
  const { frame } = read;
  double.frames.push(frame);
  if (frame.t !== "usage" || double.switches.usage === "ignored") return;
  const { epoch, ackedSeq, calls } = frame;
  const before = lastSeqs.get(epoch) ?? 0;
  for (const call of ackedSeq > before ? [] : calls) {
    if (call.seq <= (lastSeqs.get(epoch) ?? 0)) continue;
    const name = `${epoch} ${call.seq}`;
    if (double.booked.has(name)) double.twice.push(name);
    double.booked.set(name, call);
    lastSeqs.set(epoch, call.seq);
  }
  if (double.switches.usage === "unacknowledged") return;
  client.send(JSON.stringify({ t: "ack", epoch, lastSeq: lastSeqs.get(epoch) ?? 0 } satisfies EdgeFrame));
}
