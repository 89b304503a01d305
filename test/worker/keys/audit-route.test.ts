import { describe, expect, it } from "vitest";
import { AuditList } from "../../../shared/keys.ts";
import { captureLog, edgeOf } from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";
import { KEYS, newKey } from "../support/keys.ts";

describe("the audit", () => {
  it("lists the actions on a key, newest first, with the actor and the request id", async () => {
    captureLog();
    const edge = edgeOf(fleetOf());
    const admin = { key: "dev-admin" };
    const { id, key } = await newKey(edge, { name: "clinic", agents: ["alpha"] });
    const changed = await edge(`${KEYS}/${id}`, { ...admin, method: "PATCH", body: { agents: null } });
    await edge(`${KEYS}/${id}/rotate`, { ...admin, body: { graceSeconds: 60 } });
    await edge(`${KEYS}/${id}`, { ...admin, method: "DELETE" });
    const answer = await edge(`/admin/audit?target=${id}`, admin);
    expect(answer.status).toBe(200);
    const text = await answer.text();
    expect(text).not.toContain(key.slice(-49));
    const { entries, next } = AuditList.parse(JSON.parse(text));
    expect(next).toBeNull();
    expect(entries).toMatchObject([
      { action: "key.revoke", detail: {} },
      { action: "key.rotate", detail: { graceSeconds: 60 } },
      {
        action: "key.change",
        detail: { agents: { from: ["Alpha"], to: null } },
        requestId: changed.headers.get("x-request-id"),
      },
      { action: "key.create", detail: { name: "clinic", "limits.perSecond": 1000, scopes: ["infer"] } },
    ]);
    for (const entry of entries) expect(entry).toMatchObject({ actor: "dev-admin", target: id });
  });

  it("has pages", async () => {
    captureLog();
    const edge = edgeOf(fleetOf());
    const { id } = await newKey(edge);
    for (let at = 0; at < 4; at += 1)
      await edge(`${KEYS}/${id}`, { key: "dev-admin", method: "PATCH", body: { name: `n${at}` } });
    const seen: string[] = [];
    let query = `?target=${id}&limit=2`;
    for (let pages = 0; pages < 10 && query !== ""; pages += 1) {
      const answer = await edge(`/admin/audit${query}`, { key: "dev-admin" });
      const { entries, next } = AuditList.parse(await answer.json());
      seen.push(...entries.map(({ requestId }) => requestId));
      query = next === null ? "" : `?target=${id}&limit=2&after=${next}`;
    }
    expect(seen).toHaveLength(5);
    expect(new Set(seen).size).toBe(5);
  });
});
