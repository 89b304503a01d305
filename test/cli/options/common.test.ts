// The options that all commands share are accepted before a command's name as well as after it.
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { ADMIN_KEY, AdminService } from "../support/admin-service.ts";
import { runHere } from "../support/run-isha.ts";

const service = new AdminService();
let url: string;
beforeAll(async () => {
  url = await service.start();
});
afterAll(() => service.stop());
beforeEach(() => {
  service.reset();
  service.addKey({ id: "3fA9kQ2mXw7b" });
});

const isha = (line: string) =>
  runHere(line.replaceAll("URL", url).split(" "), { env: { ISHA_ADMIN_KEY: ADMIN_KEY } });

it.each([
  "--url URL --json keys list",
  "--json keys --url URL list",
  "keys --json list --url URL",
  "keys list --url URL --json",
])("isha %s", async (line) => {
  const { out, err, code } = await isha(line);
  expect([code, err]).toEqual([0, ""]);
  expect(JSON.parse(out)).toMatchObject({ keys: [{ id: "3fA9kQ2mXw7b" }] });
});

it("a top-level command accepts them before its name too", async () => {
  const { out } = await isha("--url URL --json audit");
  expect(JSON.parse(out)).toEqual({ entries: [], next: null });
});

it("given twice, the later one applies", async () => {
  expect((await isha("--url http://localhost:1 keys list --url URL")).code).toBe(0);
  expect((await isha("--url URL keys list --url http://localhost:1")).code).toBe(3);
});

it("--key-file before the command is used", async () => {
  const { code, err } = await isha("--key-file /nonexistent/key --url URL keys list");
  expect(code).toBe(2);
  expect(err).toContain("There is no file /nonexistent/key.");
});

it("conflicting options conflict there too", async () => {
  const { code, err } = await isha("--json usage --csv --url URL");
  expect(code).toBe(2);
  expect(err).toContain("cannot be used with");
});

it("a command that calls no service ignores them", async () => {
  expect((await isha("--url URL keys bootstrap --json")).code).toBe(0);
  expect(service.requests).toEqual([]);
});
