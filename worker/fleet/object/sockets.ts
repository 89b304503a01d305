// Holds the agents' hibernating sockets and each one's session. A session is kept in its socket's attachment, so it
// survives hibernation; its text is read once per wake-up. Sends and closes never throw: connections break, and the
// agent dials again.
import type { BoxReport } from "../../../shared/box-report.ts";
import { LINK_CLOSE, type EdgeFrame } from "../../../shared/wire.ts";
import { boxReports } from "./box-reports.ts";
import type { LinkTables } from "./link-store.ts";
import { newSession, type Session } from "./sessions.ts";
import { sessionOf, sessionText } from "./session-text.ts";

/** Sockets of one box: two while it reloads, and a few half-open ones that nothing has detected yet. */
const MAX_SOCKETS_A_BOX = 6;

/** Longest close reason that we send; the platform allows 123 bytes. */
const MAX_REASON = 120;

export class LinkSockets {
  readonly #state: DurableObjectState;
  readonly #links: LinkTables;
  /** The attachments' sessions, parsed. */
  readonly #sessions = new WeakMap<WebSocket, Session>();

  constructor(state: DurableObjectState, links: LinkTables) {
    this.#state = state;
    this.#links = links;
  }

  /** Accepts a box's new socket; with too many of them, the one last seen longest ago is closed. */
  accept(socket: WebSocket, box: string, fleetHash: string, now: number): void {
    this.#state.acceptWebSocket(socket, [box]);
    this.keep(socket, newSession(box, fleetHash, now));
    this.#closeSurplus(box, socket);
  }

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

  reports(now: number): readonly BoxReport[] {
    const linked = this.all()
      .filter(isOpen)
      .flatMap((socket) => {
        const session = this.sessionOf(socket);
        return session === null ? [] : [{ session, lastSeenAt: this.#lastSeenAt(socket, session) }];
      });
    return boxReports(linked, this.#links.boxes(), now);
  }

  /** Whether this session reports for its box: of two agents during a reload, the one that takes calls does. */
  reportsForBox({ box, leaving, snapshot }: Session): boolean {
    const takes = !leaving && snapshot?.draining === false;
    return takes || !this.#state.getWebSockets(box).some((socket) => this.#takesCalls(socket));
  }

  /** Ends older links of a process that dialled again, and sends its new link what it has missed. */
  greet(socket: WebSocket, session: Session, epoch: string, now: number): void {
    for (const other of this.#state.getWebSockets(session.box)) {
      if (other === socket || this.sessionOf(other)?.hello?.epoch !== epoch) continue;
      send(other, { t: "warning", message: "a newer link of the same process took this one's place" });
      end(other, LINK_CLOSE.replaced, "replaced by a newer link of the same process");
    }
    this.#links.heard(session.box, session.lastSeenAt, session.hello?.version ?? "");
    if (this.#links.isHeld(session.box)) send(socket, { t: "drain" });
    for (const keyId of this.#links.revocations(now)) send(socket, { t: "revoke", keyId });
  }

  /** Stores when a socket that closes was last seen. */
  noteClosed(socket: WebSocket): void {
    const session = this.sessionOf(socket);
    if (session === null || session.hello === null) return;
    this.#links.heard(session.box, this.#lastSeenAt(socket, session), session.hello.version);
  }

  #takesCalls(socket: WebSocket): boolean {
    const session = isOpen(socket) ? this.sessionOf(socket) : null;
    return session?.snapshot?.draining === false && !session.leaving;
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

  /** The platform answers pings without waking the object; it knows when. */
  #lastSeenAt(socket: WebSocket, session: Session): number {
    const pingedAt = this.#state.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0;
    return Math.max(session.lastSeenAt, pingedAt);
  }
}

const isOpen = (socket: WebSocket): boolean => socket.readyState === WebSocket.OPEN;

export function send(socket: WebSocket, frame: EdgeFrame): void {
  try {
    socket.send(JSON.stringify(frame));
  } catch {
    // It has closed; the agent dials again.
  }
}

export function end(socket: WebSocket, code: number, reason: string): void {
  try {
    socket.close(code, reason.slice(0, MAX_REASON));
  } catch {
    // It has closed already.
  }
}
