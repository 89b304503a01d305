// The examples in the help of the commands that call the service, run as printed: quotes, pipes' left sides and files
// included, with the names of the shipped fleet file, at a terminal where an operator confirms.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import shipped from "../../fleet.config.ts";
import { ADMIN_KEY, AdminService } from "./support/admin-service.ts";
import { fleet, box, server } from "./support/fleet.ts";
import { runHere } from "./support/run-isha.ts";

/** `isha box` runs against a real box in test/e2e/fleet/restart.test.ts. */
const COMMANDS = [
  "keys create",
  "keys list",
  "keys show",
  "keys change",
  "keys revoke",
  "keys rotate",
  "audit",
  "why",
  "status",
  "alerts test",
  "box drain",
  "box resume",
  "box restart",
];

const service = new AdminService();
let url: string;
let folder: string;
beforeAll(async () => {
  url = await service.start();
  folder = await mkdtemp(join(tmpdir(), "isha-examples-"));
});
afterAll(async () => {
  await service.stop();
  await rm(folder, { recursive: true });
});

/** Splits a line as a shell does, up to a pipe, a redirection or a comment. */
function argumentsOf(line: string): string[] {
  const [command = ""] = line.split(/ +(?:[|>#]|&&) ?/);
  return (command.match(/"[^"]*"|'[^']*'|\S+/g) ?? []).map((word) => word.replace(/^(["'])(.*)\1$/, "$2"));
}

it.each(COMMANDS)("isha %s", async (command) => {
  const { out } = await runHere([...command.split(" "), "--help"]);
  const lines = [...out.matchAll(/^ {2}\$ npm run -s isha -- (.*)$/gm)].map(([, line = ""]) => line);
  expect(lines.length).toBeGreaterThan(0);
  for (const line of lines) {
    service.reset();
    service.fleet = fleet({
      boxes: shipped.boxes.map(({ name, servers }) =>
        box(
          name,
          servers.map(({ port }) => server(port)),
        ),
      ),
    });
    for (const [id] of line.matchAll(/\b[0-9][0-9A-Za-z]{11,12}\b/g)) service.addKey({ id });
    for (const [requestId] of line.matchAll(/req_[0-9a-f]{32}/g)) {
      const failure = { code: "overloaded", route: "/v1/chat/completions", key: null, cause: null };
      const at = "2026-11-23T14:00:00Z";
      service.failures.set(requestId, { requestId, at, ...failure });
    }
    const ran = await runHere(argumentsOf(line), {
      env: { ISHA_URL: url, ISHA_ADMIN_KEY: ADMIN_KEY },
      folder,
      ask: () => Promise.resolve("y"),
    });
    expect({ line, code: ran.code, err: ran.code === 0 ? "" : ran.err }).toEqual({ line, code: 0, err: "" });
  }
});

it("the examples' boxes, ports and agent types are the fleet file's", async () => {
  const [north] = shipped.boxes;
  const last = north?.servers.at(-1);
  expect((await runHere(["box", "restart", "--help"])).out).toContain(
    `box restart ${north?.name} ${last?.port} --yes`,
  );
  expect((await runHere(["keys", "create", "--help"])).out).toContain(`--agents ${last?.agents.join(",")}`);
});
