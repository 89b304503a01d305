// `isha status`, `isha alerts`: their requests and their output.
import { createHash } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { CommandContext } from "../../../cli/context.ts";
import { CommandFailure } from "../../../cli/failure.ts";
import shipped from "../../../fleet.config.ts";
import { fleetText } from "../../../shared/wire.ts";
import { ADMIN_KEY, AdminService } from "../support/admin-service.ts";
import { AT, box, fleet, server } from "../support/fleet.ts";
import { runHere } from "../support/run-isha.ts";

const service = new AdminService();
let url: string;
beforeAll(async () => {
  url = await service.start();
});
afterAll(() => service.stop());
beforeEach(() => {
  service.reset();
  service.fleet = fleet();
});

const isha = (line: string, given: Partial<CommandContext> = {}) =>
  runHere(line.split(" "), { env: { ISHA_URL: url, ISHA_ADMIN_KEY: ADMIN_KEY }, ...given });

describe("status", () => {
  it("shows every server of every box: state, slots, queue, tokens per second, memory; a dash for unknown figures", async () => {
    const { out } = await isha("status");
    expect(out.slice(0, out.indexOf("\nFleet file"))).toBe(
      [
        "BOX    IS  PORT  MODEL       STATE  SLOTS  QUEUE  TOKENS/S  MEMORY (GiB)",
        "north  up  9000  Model-9000  ready    1/2   3/32      31.5       6.3/6.4",
        "north  up  9001  Model-9001  ready    1/2   0/32         –         –/6.4",
        "",
      ].join("\n"),
    );
  });

  it("shows alarms first with what to do, the reason for a server's state, and how long a box has been silent", async () => {
    service.fleet = fleet({
      boxes: [
        box("north", [server(9000, { state: "down", why: "nothing listens", busy: 0 })], {
          warning: "its fleet file is not the edge's",
        }),
        box("south", [server(9000, { state: "unknown", busy: 0, waiting: 0 })], {
          state: "silent",
          lastSeenAt: AT - 90_000,
          agents: 0,
        }),
        box("east", [], { state: "silent", lastSeenAt: null, agents: 0 }),
      ],
      alarms: [
        {
          id: "box-silent:south",
          since: AT - 90_000,
          text: "south is silent.",
          advice: "Check the box.",
        },
      ],
    });
    const { out } = await isha("status");
    expect(out).toMatch(
      /^ALARMS\n {2}south is silent\. \(began 1 min 30 s ago\)\n {4}Check the box\.\n\nBOX/,
    );
    expect(out).toMatch(/north +up +9000 +Model-9000 +down +0\/2 .* nothing listens\n/);
    expect(out).toMatch(/south +silent +9000 +Model-9000 +unknown +–\/2 +– /);
    expect(out).toContain("\nnorth: its fleet file is not the edge's.\n");
    expect(out).toContain("south last reported 1 min 30 s ago.\neast has never reported.\n");
  });

  it("lets no text from a box control the terminal, and fits its width", async () => {
    const why = `\u001b[2J${"x".repeat(200)}`;
    service.fleet = fleet({ boxes: [box("north", [server(9000, { state: "slow", why })])] });
    const written: string[] = [];
    const out = { write: (text: string) => void written.push(text), columns: 100, colours: false };
    await isha("status", { out });
    const text = written.join("");
    expect(text).not.toContain("\u001b");
    expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  it("compares the fleet files of this machine, the edge and the boxes", async () => {
    const local = createHash("sha256").update(fleetText(shipped)).digest("hex");
    const boxes = (hash: string | null) => [box("north", [], { fleetHash: hash })];
    service.fleet = fleet({ fleetHash: local, boxes: boxes(local) });
    const same = await isha("status");
    expect(same.out).toContain(
      `\nFleet file ${local.slice(0, 12)}: the same here, at the edge and on every box.\n`,
    );
    service.fleet = fleet({ fleetHash: local, boxes: boxes("f".repeat(64)) });
    const differing = (await isha("status")).out;
    expect(differing).toMatch(
      /The fleet files differ:\n {2}this machine +(\w{12})\n {2}edge +\1\n {2}north +f{12}\n/,
    );
    expect(differing).toContain("npm run deploy");
    service.fleet = fleet({ fleetHash: local, boxes: boxes(null) });
    expect((await isha("status")).out).toContain(`Fleet file ${local.slice(0, 12)}; unknown for north.\n`);
    const broken = () => Promise.reject(new CommandFailure(2, "The fleet file can't be read."));
    const without = await isha("status", { fleet: broken });
    expect(without).toMatchObject({
      code: 0,
      out: expect.stringContaining("unknown for this machine, north"),
    });
  });

  it("has the older name fleet too", async () => {
    expect((await isha("fleet")).out).toBe((await isha("status")).out);
  });

  it("--json prints the unchanged answer", async () => {
    expect(JSON.parse((await isha("status --json")).out)).toEqual(service.fleet);
  });
});

describe("alerts test", () => {
  it("reports that the message was accepted, or prints the service's reason", async () => {
    const ran = await isha("alerts test");
    expect(ran).toMatchObject({ code: 0, err: "" });
    expect(ran.out).toContain("accepted the test message");
    const message = "No ALERT_WEBHOOK_URL is set, so no alarms are sent.";
    service.fault = { status: 400, body: JSON.stringify({ error: { message, code: "invalid_request" } }) };
    const unset = await isha("alerts test");
    expect(unset).toMatchObject({ code: 1, out: "" });
    expect(unset.err).toContain(`isha: ${message} (400 invalid_request)`);
  });
});

describe("audit --target", () => {
  it.each(["north", "north:9000"])("accepts a box or a server: %s", async (target) => {
    expect((await isha(`audit --target ${target}`)).code).toBe(0);
    expect(service.requests[0]?.query).toMatchObject({ target });
  });

  it.each(["a/b", `isha_3fA9kQ2mXw7b_${"x".repeat(60)}`])("refuses anything else: %s", async (target) => {
    expect((await isha(`audit --target ${target}`)).code).toBe(2);
    expect(service.requests).toEqual([]);
  });
});
