// Handles the frames of one agent's link as a pure core: what each frame changes in the session, and the actions that
// follow. The session is what outlives hibernation. Whatever an agent sends, its link continues or is closed with a
// reason and a code.
import {
  AgentFrame,
  CLOCK_OFF_MS,
  LINK_CLOSE,
  MAX_FRAME_BYTES,
  readFrame,
  WIRE_VERSION,
  type Drain,
  type FailedCall,
  type Hello,
  type ReadFrame,
  type RestartedFrame,
  type Snapshot,
  type UsageFrame,
} from "../../../shared/wire.ts";

/** Frames read from one socket in a second; the rest is dropped unread. An agent sends its batches one at a time. */
const MAX_FRAMES_A_SECOND = 50;
/** An agent sends one at most. */
const MAX_SNAPSHOTS_A_SECOND = 4;

export interface Session {
  readonly box: string;
  /** Hash of the edge's own fleet file when the agent dialled. */
  readonly fleetHash: string;
  readonly linkedAt: number;
  readonly lastSeenAt: number;
  readonly hello: (Pick<Hello, "epoch" | "version" | "servers"> & Partial<Pick<Hello, "fleetHash">>) | null;
  readonly leaving: boolean;
  /** What operators should know about it. */
  readonly warning: string | null;
  readonly snapshot: Snapshot | null;
  readonly snapshotAt: number;
  /** The last warning sent to the agent: a repeated one is sent once, not with every frame. */
  readonly lastWarning: string | null;
  readonly rate: { readonly second: number; readonly frames: number; readonly snapshots: number };
}

export type LinkAction =
  | { readonly kind: "warn"; readonly message: string }
  | { readonly kind: "close"; readonly code: number; readonly reason: string }
  /** It sent its hello: older sockets of the same process are closed, and the box and the edge agree on its drain. */
  | { readonly kind: "greet"; readonly epoch: string; readonly drain: Drain | null }
  | { readonly kind: "book"; readonly batch: UsageFrame }
  | { readonly kind: "note-failed"; readonly calls: readonly FailedCall[] }
  | { readonly kind: "restart-ended"; readonly frame: RestartedFrame };

export interface Handled {
  readonly session: Session;
  readonly actions: readonly LinkAction[];
}

export function newSession(box: string, fleetHash: string, now: number): Session {
  return {
    box,
    fleetHash,
    linkedAt: now,
    lastSeenAt: now,
    hello: null,
    leaving: false,
    warning: null,
    snapshot: null,
    snapshotAt: 0,
    lastWarning: null,
    rate: { second: 0, frames: 0, snapshots: 0 },
  };
}

/** Compares the sessions of a box's agents; every caller takes the same one of two that linked at the same time. */
export function newestFirst(a: Session, b: Session): number {
  return b.linkedAt - a.linkedAt || (b.hello?.epoch ?? "").localeCompare(a.hello?.epoch ?? "");
}

export function handleFrame(before: Session, text: string | ArrayBuffer, now: number): Handled {
  const session = { ...before, lastSeenAt: now, rate: nextRate(before.rate, now) };
  if (session.rate.frames > MAX_FRAMES_A_SECOND) return { session, actions: [] };
  if (typeof text !== "string") return close(session, "protocol", "frames are text");
  if (text.length > MAX_FRAME_BYTES) return close(session, "protocol", "the frame is too large");
  const read = readFrame(AgentFrame, text);
  if (read.kind === "unknown") return { session, actions: [] };
  if (read.kind === "invalid") return handleInvalid(session, read);
  const { frame } = read;
  if (frame.t === "hello") return handleHello(session, frame, now);
  if (session.hello === null) return close(session, "protocol", "the first frame must be hello");
  switch (frame.t) {
    case "snapshot":
      return handleSnapshot(session, frame, now);
    case "usage":
      return isAscending(frame)
        ? { session, actions: [{ kind: "book", batch: frame }] }
        : warn(session, "the calls of a usage frame must be in order of their seq, all above its ackedSeq");
    case "failed":
      return { session, actions: [{ kind: "note-failed", calls: frame.calls }] };
    case "restarted":
      return { session, actions: [{ kind: "restart-ended", frame }] };
    case "bye":
      return { session: { ...session, leaving: true }, actions: [] };
  }
}

/** Some calls of this agent had a start time that can't be right. */
export function warnOfMisdated(session: Session, calls: number): Handled {
  const message = `${calls} calls were dated more than ${CLOCK_OFF_MS / 60_000} minutes in the future, or before the oldest stored hour, and are booked at their arrival; check the box's clock`;
  return warn({ ...session, warning: session.warning ?? message }, message);
}

function handleHello(session: Session, hello: Hello, now: number): Handled {
  if (hello.box !== session.box) return close(session, "box", "hello names a different box than the token");
  const warning = differences(session.fleetHash, hello, now);
  const greeted: Session = {
    ...session,
    hello: {
      epoch: hello.epoch,
      version: hello.version,
      fleetHash: hello.fleetHash,
      servers: hello.servers,
    },
    warning,
  };
  const greet: LinkAction = { kind: "greet", epoch: hello.epoch, drain: hello.drain };
  if (warning === null) return { session: greeted, actions: [greet] };
  const warned = warn(greeted, warning);
  return { session: warned.session, actions: [greet, ...warned.actions] };
}

function differences(fleetHash: string, hello: Hello, now: number): string | null {
  const offMs = hello.now - now;
  const minutes = Math.round(Math.abs(offMs) / 60_000);
  const found = [
    ...fleetDifference(fleetHash, hello),
    ...(Math.abs(offMs) <= CLOCK_OFF_MS
      ? []
      : [
          `its clock is ${minutes} minutes ${offMs > 0 ? "ahead" : "behind"}: set it, for example with chrony or ntpd`,
        ]),
  ];
  return found.length === 0 ? null : found.join("; ");
}

/** An invalid file explains a different hash, so it is the only warning then. */
function fleetDifference(fleetHash: string, hello: Hello): string[] {
  const fault = hello.fleetFault ?? null;
  if (fault !== null)
    return [
      `its fleet file is invalid, so it runs the last valid one: fix it, then reload the agent. ${fault}`,
    ];
  return hello.fleetHash === fleetHash
    ? []
    : ["its fleet file differs from the edge's: deploy the boxes' agents first, then the edge"];
}

function handleSnapshot(session: Session, snapshot: Snapshot, now: number): Handled {
  const snapshots = session.rate.snapshots + 1;
  const counted = { ...session, rate: { ...session.rate, snapshots } };
  const isLate = session.snapshot !== null && snapshot.seq <= session.snapshot.seq;
  if (isLate || snapshots > MAX_SNAPSHOTS_A_SECOND) return { session: counted, actions: [] };
  return { session: { ...counted, snapshot, snapshotAt: now }, actions: [] };
}

/** A known frame with an invalid field is ignored with a warning; anything outside this protocol closes the link. */
function handleInvalid(
  session: Session,
  { reason, t, field }: ReadFrame<AgentFrame> & { readonly kind: "invalid" },
): Handled {
  if (t === "hello" && field === "v")
    return close(
      session,
      "version",
      `the edge accepts version ${WIRE_VERSION} of the link and the adjacent ones; deploy the same release on both sides`,
    );
  const isFrame = t !== "" && t !== "hello" && session.hello !== null;
  return isFrame ? warn(session, reason) : close(session, "protocol", reason);
}

function close(session: Session, cause: keyof typeof LINK_CLOSE, reason: string): Handled {
  return {
    session,
    actions: [
      { kind: "warn", message: reason },
      { kind: "close", code: LINK_CLOSE[cause], reason },
    ],
  };
}

function warn(session: Session, message: string): Handled {
  if (session.lastWarning === message) return { session, actions: [] };
  return { session: { ...session, lastWarning: message }, actions: [{ kind: "warn", message }] };
}

function nextRate(rate: Session["rate"], now: number): Session["rate"] {
  const second = Math.floor(now / 1000);
  return second === rate.second ? { ...rate, frames: rate.frames + 1 } : { second, frames: 1, snapshots: 0 };
}

function isAscending({ ackedSeq, calls }: UsageFrame): boolean {
  return calls.every(({ seq }, at) => seq > (at === 0 ? ackedSeq : (calls[at - 1]?.seq ?? 0)));
}
