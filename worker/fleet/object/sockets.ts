// Owns the agents' hibernating sockets and each one's session. A session is stored in its socket's attachment, so it
// survives hibernation; its text is read once per wake-up. Sends and closes never throw: connections break, and the
// agent dials again.
import { LINK_CLOSE, type Drain, type EdgeFrame } from "../../../shared/wire.ts";
import { boxReports, type BoxReport, type Link } from "./box-reports.ts";
import type { LinkStore } from "./link-store.ts";
import { newestFirst, newSession, type Session } from "./sessions.ts";
import { sessionOf, sessionText } from "./session-text.ts";

/** Sockets of one box: two during a reload, and a few half-open ones that nothing has detected yet. */
const MAX_SOCKETS_A_BOX = 6;

/** Longest close reason that we send; the platform allows 123 bytes. */
const MAX_REASON = 120;

export class LinkSockets {
  readonly #state: DurableObjectState;
  readonly #store: LinkStore;
  /** The attachments' sessions, parsed. */
  readonly #sessions = new WeakMap<WebSocket, Session>();

  constructor(state: DurableObjectState, store: LinkStore) {
    this.#state = state;
    this.#store = store;
  }

  /** Accepts a box's new socket; beyond the limit the one last seen longest ago is closed. */
  accept(socket: WebSocket, box: string, fleetHash: string, now: number): void {
    this.#state.acceptWebSocket(socket, [box]);
    this.keep(socket, newSession(box, fleetHash, now));
    this.#closeSurplus(box, socket);
  }

  /** Null if another release wrote the attachment. */
  sessionOf(socket: WebSocket): Session | null {
    return this.#sessions.get(socket) ?? sessionOf(socket.deserializeAttachment());
  }

  keep(socket: WebSocket, session: Session): void {
    this.#sessions.set(socket, session);
    socket.serializeAttachment(sessionText(session));
  }

  all(): readonly WebSocket[] {
    return this.#state.getWebSockets();
  }

  /** The open sockets of a box. */
  openOf(box: string): readonly WebSocket[] {
    return this.#state.getWebSockets(box).filter(isOpen);
  }

  /** The socket of the agent that describes the box: during a reload only one process may restart a server. */
  reportingSocket(box: string): WebSocket | null {
    const linked = this.openOf(box).filter((socket) => (this.sessionOf(socket)?.hello ?? null) !== null);
    const describing = linked.find((socket) => {
      const session = this.sessionOf(socket);
      return session !== null && this.reportsForBox(session);
    });
    return describing ?? linked[0] ?? null;
  }

  reports(now: number): readonly BoxReport[] {
    const links = this.all()
      .filter(isOpen)
      .flatMap((socket): Link[] => {
        const session = this.sessionOf(socket);
        return session === null ? [] : [{ session, lastSeenAt: this.#lastSeenAt(socket, session) }];
      });
    return boxReports(links, this.#store.boxes(), now);
  }

  /** The model that a linked agent of the box announced for a port. */
  modelOn(box: string, port: number): string | undefined {
    const servers = this.openOf(box).flatMap((socket) => this.sessionOf(socket)?.hello?.servers ?? []);
    return servers.find((server) => server.port === port)?.model;
  }

  /** Whether this session describes its box: of several agents, the newest that takes calls does. */
  reportsForBox(session: Session): boolean {
    return !this.openOf(session.box).some((socket) => {
      const other = this.sessionOf(socket);
      if (other === null || other.hello?.epoch === session.hello?.epoch || !takesCalls(other)) return false;
      return !takesCalls(session) || newestFirst(other, session) < 0;
    });
  }

  /** Closes older links of a process that dialled again, and sends the new link what it has missed. */
  greet(socket: WebSocket, session: Session, epoch: string, drain: Drain | null, now: number): void {
    for (const other of this.#state.getWebSockets(session.box)) {
      if (other === socket || this.sessionOf(other)?.hello?.epoch !== epoch) continue;
      send(other, { t: "warning", message: "a newer link of the same process replaced this one" });
      end(other, LINK_CLOSE.replaced, "replaced by a newer link of the same process");
    }
    this.#store.noteSeen(session.box, session.lastSeenAt, session.hello?.version ?? "");
    const newest = this.#store.newestDrain(session.box, drain);
    if (newest !== null) send(socket, { t: newest.drained ? "drain" : "resume", at: newest.at });
    for (const keyId of this.#store.revocations(now)) send(socket, { t: "revoke", keyId });
  }

  /** Stores when a closing socket was last seen. */
  noteClosed(socket: WebSocket): void {
    const session = this.sessionOf(socket);
    if (session === null || session.hello === null) return;
    this.#store.noteSeen(session.box, this.#lastSeenAt(socket, session), session.hello.version);
  }

  #closeSurplus(box: string, newest: WebSocket): void {
    const others = this.openOf(box).filter((socket) => socket !== newest);
    const seen = others.map((socket) => {
      const session = this.sessionOf(socket);
      return { socket, at: session === null ? 0 : this.#lastSeenAt(socket, session) };
    });
    const surplus = Math.max(0, others.length + 1 - MAX_SOCKETS_A_BOX);
    for (const { socket } of seen.toSorted((a, b) => a.at - b.at).slice(0, surplus))
      end(socket, LINK_CLOSE.tooMany, "too many links of this box; the one last seen longest ago is closed");
  }

  /** Pings don't wake the object: the platform answers them and records the time. */
  #lastSeenAt(socket: WebSocket, session: Session): number {
    const pingedAt = this.#state.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0;
    return Math.max(session.lastSeenAt, pingedAt);
  }
}

const isOpen = (socket: WebSocket): boolean => socket.readyState === WebSocket.OPEN;

const takesCalls = ({ leaving, snapshot }: Session): boolean => !leaving && snapshot?.draining === false;

export function send(socket: WebSocket, frame: EdgeFrame): void {
  try {
    socket.send(JSON.stringify(frame));
  } catch {
    // The socket is closed; the agent dials again.
  }
}

export function end(socket: WebSocket, code: number, reason: string): void {
  try {
    socket.close(code, reason.slice(0, MAX_REASON));
  } catch {
    // The socket is closed already.
  }
}
