// A TCP way of the test's own between an agent and its edge, which can tear what passes in the middle of a frame.
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

export interface TornLink {
  readonly url: string;
  /** Where it leads; nothing passes before that is said. */
  lead(to: string): void;
  /** Lets so many bytes more through toward the edge, then resets both ends in mid-frame. @returns once it is torn */
  tearAfter(bytes: number): Promise<void>;
  /** On the connections there are, lets everything toward the agent vanish and tells nobody: half-open links. */
  deafen(): void;
  /** How often it was torn. */
  readonly tears: () => number;
  close(): Promise<void>;
}

export async function startTornLink(): Promise<TornLink> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let target: { readonly host: string; readonly port: number } | null = null;
  let left = Infinity;
  const deaf = new WeakSet<Socket>();
  let tears = 0;
  let onTorn = (): void => {};

  const tear = (): void => {
    if (pairs.size > 0) tears += 1;
    left = Infinity;
    for (const pair of pairs) for (const socket of pair) socket.resetAndDestroy();
    pairs.clear();
    onTorn();
  };

  const server = createServer((agent) => {
    agent.on("error", () => {});
    if (target === null) return void agent.destroy();
    const edge = connect(target);
    edge.on("error", () => {});
    const pair = [agent, edge] as const;
    pairs.add(pair);
    const gone = (): void => {
      pairs.delete(pair);
      agent.destroy();
      edge.destroy();
    };
    agent.once("close", gone);
    edge.once("close", gone);
    agent.on("data", (bytes: Buffer) => {
      const passing = bytes.subarray(0, Math.max(0, Math.min(left, bytes.length)));
      left -= bytes.length;
      // What was let through has to have left before the reset that would take it back.
      if (left > 0) edge.write(passing);
      else edge.write(passing, tear);
    });
    edge.on("data", (bytes: Buffer) => {
      if (!deaf.has(edge)) agent.write(bytes);
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    lead: (to) => {
      const { hostname: host, port } = new URL(to);
      target = { host, port: Number(port) };
    },
    tearAfter: (bytes) => {
      left = bytes;
      return new Promise((resolve) => (onTorn = resolve));
    },
    deafen: () => {
      for (const [, edge] of pairs) deaf.add(edge);
    },
    tears: () => tears,
    close: async () => {
      tear();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
