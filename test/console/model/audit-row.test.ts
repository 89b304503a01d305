import { describe, expect, it } from "vitest";
import type { AuditEntry } from "../../../shared/keys.ts";
import { actorText, auditPath, auditRow } from "../../../console/model/audit-row.ts";

const NAMES = new Map([["Qm2xPq8sT1", "Mediczy production"]]);
const entry = (action: string, target: string, detail: AuditEntry["detail"] = {}): AuditEntry => ({
  at: "2026-11-23T14:00:00.000Z",
  actor: "console0admin",
  action: action as AuditEntry["action"],
  target,
  detail,
  requestId: "req_1",
});
const textOf = (...parts: Parameters<typeof entry>): string => {
  const { action, object } = auditRow(entry(...parts), NAMES);
  return `${action} ${object}`.trim();
};

describe("an entry of the audit", () => {
  it("is a sentence with names", () => {
    expect(textOf("key.change", "Qm2xPq8sT1")).toBe("changed the key Mediczy production");
    expect(textOf("key.revoke", "unknown")).toBe("revoked the key unknown");
    expect(textOf("server.restart", "box1:8085")).toBe("requested a restart of 8085 of box1");
    expect(textOf("box.drain", "box1")).toBe("drained box1");
    expect(textOf("alerts.test", "webhook")).toBe("sent a test alarm");
    expect(textOf("box.rename", "box1")).toBe("box.rename box1");
  });

  it("shows changed fields with their units, and what an absent value means", () => {
    const detail = {
      "limits.tokensPerMonth": { from: 1_000_000, to: null },
      agents: { from: null, to: ["Clinical", "Claims"] },
      addressExempt: { from: false, to: true },
      "a.new.field": "text",
    };
    expect(auditRow(entry("key.change", "Qm2xPq8sT1", detail), NAMES).details).toEqual([
      "tokens per month: 1,000,000 → no limit",
      "agent types: all → Clinical, Claims",
      "exempt from the address limit: no → yes",
      "a.new.field: text",
    ]);
    const { details } = auditRow(entry("key.rotate", "a", { graceSeconds: 86_400 }), NAMES);
    expect(details).toEqual(["the old secret stays valid for: 1 d"]);
    const restart = entry("server.restart", "box1:8085", { outcome: "ready", tookMs: 9_140 });
    expect(auditRow(restart, NAMES).details).toEqual(["outcome: ready", "took: 9.1 s"]);
    const failed = entry("server.restart", "box1:8085", { outcome: "unknown-name" });
    expect(auditRow(failed, NAMES).details).toEqual(["outcome: unknown name"]);
  });

  it("leaves out what any plain new key has", () => {
    const detail = { name: "A", priority: "normal", agents: null, addressExempt: true, expiresAt: null };
    expect(auditRow(entry("key.create", "a", detail), NAMES).details).toEqual([
      "name: A",
      "exempt from the address limit: yes",
    ]);
  });

  it("names the operator by the key that was used", () => {
    expect(actorText("Qm2xPq8sT1", NAMES)).toBe("Mediczy production");
    expect(actorText("first0a1b2c3d", NAMES)).toBe("the first admin key");
    expect(actorText("dev-admin", NAMES)).toBe("dev-admin");
  });

  it("is requested by page and target", () => {
    expect(auditPath("", null)).toBe("/admin/audit?limit=50");
    expect(auditPath("box1:8085", "70")).toBe("/admin/audit?limit=50&target=box1%3A8085&after=70");
  });
});
