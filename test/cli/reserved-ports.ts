// Ports of this machine for programs that are given theirs before they start, kept from all other programs until then.
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";

export interface ReservedPorts {
  /** Nothing listens there, and the system hands them out to no one; a program that names one can listen there. */
  readonly ports: readonly number[];
  release(): Promise<void>;
}

/** Reserves ports as the near ends of open connections. */
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
