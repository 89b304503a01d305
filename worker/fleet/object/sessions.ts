// One agent's link as a pure core: what each frame changes in its session and what is to be done about it. The
// session is what outlives hibernation. Whatever an agent says, a link ends with words and a code or goes on.
import {
  AgentFrame,
  CLOCK_OFF_MS,
  LINK_CLOSE,
  MAX_FRAME_BYTES,
  readFrame,
  WIRE_VERSION,
  type FailedCall,
  type Hello,
  type Snapshot,
  type UsageFrame,
} from "../../../shared/wire.ts";

/** Frames read of one socket in a second; batches are sent one by one, so that more is a fault. The rest is dropped unread. */
const MAX_FRAMES_A_SECOND = 50;
/** An agent sends one at most. */
const MAX_SNAPSHOTS_A_SECOND = 4;

export interface Session {
  readonly box: string;
  /** The edge's own fleet file, when the agent dialled. */
  readonly fleetHash: string;
  readonly linkedAt: number;
  readonly lastSeenAt: number;
  readonly hello: Pick<Hello, "epoch" | "version" | "servers"> | null;
  readonly leaving: boolean;
  /** What operators should know of it. */
  readonly warning: string | null;
  readonly snapshot: Snapshot | null;
  readonly snapshotAt: number;
  /** The last warning it was sent: said once, not once a frame. */
  readonly told: string | null;
  readonly pace: { readonly second: number; readonly frames: number; readonly snapshots: number };
}

export type LinkAct =
  | { readonly act: "warn"; readonly message: string }
  | { readonly act: "close"; readonly code: number; readonly reason: string }
  /** It said who it is: an older socket of the same process goes. */
  | { readonly act: "greet"; readonly epoch: string }
  | { readonly act: "book"; readonly batch: UsageFrame }
  | { readonly act: "note"; readonly calls: readonly FailedCall[] };

export interface Heard {
  readonly session: Session;
  readonly acts: readonly LinkAct[];
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
    told: null,
    pace: { second: 0, frames: 0, snapshots: 0 },
  };
}

export function hear(before: Session, frame: string | ArrayBuffer, now: number): Heard {
  const session = { ...before, lastSeenAt: now, pace: nextPace(before.pace, now) };
  if (session.pace.frames > MAX_FRAMES_A_SECOND) return { session, acts: [] };
  if (typeof frame !== "string") return ending(session, "protocol", "frames are text");
  if (frame.length > MAX_FRAME_BYTES) return ending(session, "protocol", "the frame is too large");
  const read = readFrame(AgentFrame, frame);
  if (!read.ok) return hearWrong(session, frame, read.reason);
  const said = read.value;
  if (said.t === "hello") return hearHello(session, said, now);
  if (session.hello === null) return ending(session, "protocol", "the first frame is hello");
  switch (said.t) {
    case "snapshot":
      return hearSnapshot(session, said, now);
    case "usage":
      return ascends(said)
        ? { session, acts: [{ act: "book", batch: said }] }
        : warned(session, "the calls of a usage frame are in order of their numbers, all above its after");
    case "failed":
      return { session, acts: [{ act: "note", calls: said.calls }] };
    case "bye":
      return { session: { ...session, leaving: true }, acts: [] };
  }
}

/** Calls of this agent were dated so far off that they are booked at the hour they came. */
export function noteMisdated(session: Session, calls: number): Heard {
  const message = `${calls} calls were dated more than ${CLOCK_OFF_MS / 60_000} minutes ahead or longer ago than hours are kept, and are booked at the hour they came; see to the box's clock`;
  return warned({ ...session, warning: session.warning ?? message }, message);
}

function hearHello(session: Session, hello: Hello, now: number): Heard {
  if (hello.box !== session.box)
    return ending(session, "box", "hello names another box than the token is for");
  const warning = differences(session.fleetHash, hello, now);
  const greeted: Session = {
    ...session,
    hello: { epoch: hello.epoch, version: hello.version, servers: hello.servers },
    warning,
  };
  const acts: LinkAct[] = [{ act: "greet", epoch: hello.epoch }];
  if (warning === null) return { session: greeted, acts };
  const told = warned(greeted, warning);
  return { session: told.session, acts: [...acts, ...told.acts] };
}

function differences(fleetHash: string, hello: Hello, now: number): string | null {
  const offMs = hello.now - now;
  const minutes = Math.round(Math.abs(offMs) / 60_000);
  const found = [
    ...(hello.fleetHash === fleetHash
      ? []
      : ["its fleet file is not the edge's: deploy the boxes' agents first, then the edge"]),
    ...(Math.abs(offMs) <= CLOCK_OFF_MS
      ? []
      : [`its clock is ${minutes} minutes ${offMs > 0 ? "ahead" : "behind"}: set it, as by chrony or ntpd`]),
  ];
  return found.length === 0 ? null : found.join("; ");
}

function hearSnapshot(session: Session, snapshot: Snapshot, now: number): Heard {
  const snapshots = session.pace.snapshots + 1;
  const paced = { ...session, pace: { ...session.pace, snapshots } };
  const isLate = session.snapshot !== null && snapshot.seq <= session.snapshot.seq;
  if (isLate || snapshots > MAX_SNAPSHOTS_A_SECOND) return { session: paced, acts: [] };
  return { session: { ...paced, snapshot, snapshotAt: now }, acts: [] };
}

/** A known frame with a wrong figure costs that frame alone; what isn't this protocol ends the link. */
function hearWrong(session: Session, frame: string, reason: string): Heard {
  const { t, v } = outline(frame);
  if (t === "hello" && v !== WIRE_VERSION)
    return ending(
      session,
      "version",
      `the edge speaks version ${WIRE_VERSION} of the link; deploy the same release on both sides`,
    );
  const isKnown = t === "snapshot" || t === "usage" || t === "failed" || t === "bye";
  return isKnown && session.hello !== null ? warned(session, reason) : ending(session, "protocol", reason);
}

/** What kind of frame it means to be. */
function outline(frame: string): { readonly t?: unknown; readonly v?: unknown } {
  try {
    const value: unknown = JSON.parse(frame);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

function ending(session: Session, why: keyof typeof LINK_CLOSE, reason: string): Heard {
  return {
    session,
    acts: [
      { act: "warn", message: reason },
      { act: "close", code: LINK_CLOSE[why], reason },
    ],
  };
}

function warned(session: Session, message: string): Heard {
  if (session.told === message) return { session, acts: [] };
  return { session: { ...session, told: message }, acts: [{ act: "warn", message }] };
}

function nextPace(pace: Session["pace"], now: number): Session["pace"] {
  const second = Math.floor(now / 1000);
  return second === pace.second ? { ...pace, frames: pace.frames + 1 } : { second, frames: 1, snapshots: 0 };
}

function ascends({ after, calls }: UsageFrame): boolean {
  return calls.every(({ seq }, at) => seq > (at === 0 ? after : (calls[at - 1]?.seq ?? 0)));
}
