// The audit of a fake admin API: operators' actions of every kind, newest first.
import { AuditEntry, AuditList } from "../../../shared/keys.ts";

const MINUTE_MS = 60_000;

const ACTIONS: readonly Pick<AuditEntry, "action" | "target" | "detail">[] = [
  {
    action: "key.change",
    target: "Qm2xPq8sT1",
    detail: {
      "limits.tokensPerMonth": { from: 1_000_000, to: null },
      agents: { from: null, to: ["Clinical"] },
    },
  },
  { action: "server.restart", target: "box1:8085", detail: { outcome: "ready", tookMs: 9_140 } },
  { action: "box.drain", target: "box1", detail: {} },
  { action: "box.resume", target: "box1", detail: {} },
  {
    action: "key.create",
    target: "Zk81hHa0Lw",
    detail: { name: "<b>Claims</b> partner", scopes: ["infer"], agents: null, "limits.perSecond": 20 },
  },
  { action: "key.rotate", target: "Qm2xPq8sT1", detail: { graceSeconds: 86_400 } },
  { action: "key.revoke", target: "Old0Old0Old", detail: {} },
  { action: "alerts.test", target: "webhook", detail: {} },
  { action: "first-key.use", target: "first0a1b2c3d", detail: {} },
];

export class FakeAudit {
  /** Newest first. */
  entries: AuditEntry[];
  /** Requests are refused while this is set. */
  fails = false;

  constructor(clock: () => number, count = 120) {
    this.entries = Array.from({ length: count }, (_, index) => {
      const what = ACTIONS[index % ACTIONS.length];
      return AuditEntry.parse({
        ...what,
        at: new Date(clock() - index * 7 * MINUTE_MS).toISOString(),
        actor: what?.action === "first-key.use" ? what.target : "console0admin",
        requestId: `req_${String(count - index).padStart(32, "0")}`,
      });
    });
  }

  page(target: string, after: number, limit: number): AuditList {
    if (this.fails) throw new Error("The registry doesn't answer.");
    const found = this.entries
      .map((entry, index) => ({ entry, place: this.entries.length - index }))
      .filter(({ entry, place }) => place < after && (target === "" || entry.target === target));
    const page = found.slice(0, limit);
    const next = found.length > limit ? String(page.at(-1)?.place) : null;
    return AuditList.parse({ entries: page.map(({ entry }) => entry), next });
  }
}
