// Reserves ports for programs that must know their port before they start; no other program can take them.
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";

export interface ReservedPorts {
  /** Nothing listens on them and the system assigns them to no program, but a program that names one can listen there. */
  readonly ports: readonly number[];
  release(): Promise<void>;
}

/** The ports are the local ends of open connections. */
export async function reservePorts(count: number): Promise<ReservedPorts> {
  const far = createServer().listen(0, "127.0.0.1");
  await once(far, "listening");
  const { port } = far.address() as AddressInfo;
  const near = Array.from({ length: count }, () =>
    connect({ host: "127.0.0.1", port, localAddress: "127.0.0.1" }),
  );
  await Promise.all(near.map((socket) => once(socket, "connect")));
  return {
    ports: near.map(({ localPort }) => localPort ?? 0),
    async release() {
      for (const socket of near) socket.destroy();
      await once(far.close(), "close");
    },
  };
}
