import { describe, expect, it } from "vitest";
import { formatApiKey } from "../../../shared/api-key.ts";
import { agentLogPart, redactedFleet } from "../../../cli/report/parts.ts";
import { findSecrets } from "../../../cli/report/secret-search.ts";
import fleet from "../../../fleet.config.ts";
import { defineFleet } from "../../../shared/fleet.ts";

const SECRETS = [
  { name: "BOX_SECRET", value: "0123456789abcdef0123456789abcdef" },
  { name: "SHORT", value: "true" },
];

describe("the search for secrets", () => {
  it("finds a known one anywhere, and returns its place and name, not its value", () => {
    const value = { doctor: [{ text: `x ${SECRETS[0]?.value ?? ""} y` }], ok: true };
    expect(findSecrets(value, SECRETS)).toEqual(["doctor[0].text: BOX_SECRET"]);
    expect(findSecrets({ a: { [SECRETS[0]?.value ?? ""]: 1 } }, SECRETS)).toEqual([
      "a: BOX_SECRET, as a name",
    ]);
  });

  it.each([
    ["an API key", formatApiKey("3fA9kQ2mXw7b", new Uint8Array(32).fill(7))],
    ["a token of a header", "Authorization: Bearer 0123456789abcdef0123"],
    ["an Access token", "0123456789abcdef0123456789abcdef.access"],
    ["a key of another service", "sk-0123456789abcdef0123"],
    ["a web token", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"],
    ["a private key", "-----BEGIN RSA PRIVATE KEY-----"],
    ["a prompt that isha doctor sent", "canary0123456789abcdef"],
  ])("knows %s by its form", (what, text) => {
    expect(findSecrets({ line: `before ${text} after` }, [])).toEqual([`line: ${what}`]);
  });

  it("finds nothing in ids, hashes of files, short values and ordinary texts", () => {
    const ordinary = {
      id: "3fA9kQ2mXw7b1",
      request: `req_${"0".repeat(32)}`,
      fleetHash: "f".repeat(64),
      text: "true: the canary check is fine, basic things work",
      fleet,
    };
    expect(findSecrets(ordinary, SECRETS)).toEqual([]);
  });
});

describe("the agent's log in a report", () => {
  it("has the logger's own lines and their plain, short fields; others are counted, unread", () => {
    const lines = [
      '{"event":"call","port":9001,"ms":12,"cause":null,"stream":true}',
      "Error: something about a patient",
      '{"prompt":"no event of ours"}',
      JSON.stringify({ event: "odd", nested: { prompt: "x" }, long: "x".repeat(301) }),
      "",
    ];
    expect(agentLogPart(lines.join("\n"), 10)).toEqual({
      lines: [{ event: "call", port: 9001, ms: 12, cause: null, stream: true }, { event: "odd" }],
      leftOut: 2,
    });
    expect(agentLogPart(lines.join("\n"), 1).lines).toEqual([{ event: "odd" }]);
  });
});

describe("the fleet file in a report", () => {
  it("has neither hashes of old keys nor a tunnel's ids", () => {
    const sha256 = "ab".repeat(32);
    const id = "6ff42ae2-765d-4adf-8112-31c55c1551ef";
    const full = defineFleet({
      ...fleet,
      legacy: { keys: [{ name: "old", sha256, agents: null, until: "2027-01-31" }], anonymous: null },
      boxes: fleet.boxes.map((box) => ({ ...box, tunnel: { id } })),
    });
    const text = JSON.stringify(redactedFleet(full));
    expect(text).not.toContain(sha256);
    expect(text).not.toContain(id);
    expect(text).toContain('"name":"old"');
  });
});
