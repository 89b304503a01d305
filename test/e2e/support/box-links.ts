// The way between several agents and their edge: finds out which box dials, and leads each box over a torn link of
// its own; cuts one box off, holds back all that passes, says WebSocket frames twice.
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { LINK_BOX_HEADER } from "../../../shared/wire.ts";
import { startTornLink, type TornLink } from "./torn-link.ts";
import { FrameDoubler } from "./frame-doubler.ts";

export interface BoxLinks {
  /** The address that every agent dials. */
  readonly url: string;
  /** Sets its target; nothing passes before that. */
  lead(to: string): void;
  /** Resets the box's links and accepts no new one, until `repair`. */
  cut(box: string): void;
  repair(box: string): void;
  /** Lets nothing pass on the links there are, in neither direction, without closing them. */
  silence(box: string): void;
  /** The share of frames that arrive twice, on links of any box; `next` is from 0 to below 1. */
  double(share: number, next: () => number): void;
  /** Frames said twice so far. */
  readonly doubled: () => number;
  /** A box's own link, to be torn. It is there once the box has dialled. */
  of(box: string): TornLink;
  /** Links of a box that were opened to the edge and are there, and when the newest was opened (monotonic). */
  open(box: string): { readonly count: number; readonly openedAt: number };
  close(): Promise<void>;
}

interface Way {
  readonly torn: TornLink;
  readonly sockets: Set<Socket>;
  isCut: boolean;
  openedAt: number;
}

/** Longest beginning of an upgrade that is waited for, bytes. */
const MAX_HEAD = 16 * 1024;

export async function startBoxLinks(boxes: readonly string[] = ["north", "south"]): Promise<BoxLinks> {
  const ways = new Map<string, Way>();
  for (const box of boxes)
    ways.set(box, { torn: await startTornLink(), sockets: new Set(), isCut: false, openedAt: -Infinity });
  const silent = new WeakSet<Socket>();
  const all = new Set<Socket>();
  let doubling = { share: 0, next: (): number => 0 };
  let doubled = 0;
  const wayOf = (box: string): Way => {
    const way = ways.get(box);
    if (way === undefined) throw new Error(`no box ${box} here`);
    return way;
  };
  const isDoubled = (): boolean => {
    const isChosen = doubling.share > 0 && doubling.next() < doubling.share;
    if (isChosen) doubled += 1;
    return isChosen;
  };

  function join(agent: Socket, way: Way, head: Buffer): void {
    const onward = connect(Number(new URL(way.torn.url).port), "127.0.0.1");
    onward.on("error", () => {});
    way.sockets.add(agent);
    agent.once("close", () => {
      way.sockets.delete(agent);
      onward.destroy();
    });
    onward.once("close", () => agent.resetAndDestroy());
    const up = new FrameDoubler(isDoubled);
    const down = new FrameDoubler(isDoubled);
    let isOpen = false;
    onward.write(up.pass(head));
    agent.on("data", (bytes: Buffer) => {
      const passing = up.pass(bytes);
      if (!silent.has(agent)) onward.write(passing);
    });
    onward.on("data", (bytes: Buffer) => {
      if (!isOpen && bytes.toString("latin1").startsWith("HTTP/1.1 101")) way.openedAt = performance.now();
      isOpen = true;
      const passing = down.pass(bytes);
      if (!silent.has(agent)) agent.write(passing);
    });
  }

  const server = createServer((agent) => {
    agent.on("error", () => {});
    all.add(agent);
    agent.once("close", () => all.delete(agent));
    let head = Buffer.alloc(0);
    const onHead = (bytes: Buffer): void => {
      head = Buffer.concat([head, bytes]);
      const text = head.toString("latin1");
      if (!text.includes("\r\n\r\n")) {
        if (head.length > MAX_HEAD) agent.destroy();
        return;
      }
      agent.removeListener("data", onHead);
      const box = new RegExp(`^${LINK_BOX_HEADER}: *(\\S+)`, "im").exec(text)?.[1] ?? "";
      const way = ways.get(box);
      if (way === undefined || way.isCut) return void agent.resetAndDestroy();
      join(agent, way, head);
    };
    agent.on("data", onHead);
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    lead: (to) => {
      for (const { torn } of ways.values()) torn.lead(to);
    },
    cut: (box) => {
      const way = wayOf(box);
      way.isCut = true;
      for (const socket of way.sockets) socket.resetAndDestroy();
    },
    repair: (box) => void (wayOf(box).isCut = false),
    silence: (box) => {
      for (const socket of wayOf(box).sockets) silent.add(socket);
    },
    double: (share, next) => void (doubling = { share, next }),
    doubled: () => doubled,
    of: (box) => wayOf(box).torn,
    open: (box) => ({ count: wayOf(box).sockets.size, openedAt: wayOf(box).openedAt }),
    close: async () => {
      for (const socket of all) socket.destroy();
      for (const { torn } of ways.values()) await torn.close();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
