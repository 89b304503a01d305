// Where the service is and how the answer is written can be said before a command's name as well as after it.
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

it("a command of one word takes them from before its name too", async () => {
  const { out } = await isha("--url URL --json audit");
  expect(JSON.parse(out)).toEqual({ entries: [], next: null });
});

it("said twice, the later one counts", async () => {
  expect((await isha("--url http://localhost:1 keys list --url URL")).code).toBe(0);
  expect((await isha("--url URL keys list --url http://localhost:1")).code).toBe(3);
});

it("--key-file before the command is the one that is read", async () => {
  const { code, err } = await isha("--key-file /nonexistent/key --url URL keys list");
  expect(code).toBe(2);
  expect(err).toContain("There is no file /nonexistent/key.");
});

it("what can't go together can't from there either", async () => {
  const { code, err } = await isha("--json usage --csv --url URL");
  expect(code).toBe(2);
  expect(err).toContain("cannot be used with");
});

it("a command that asks no service lets them pass", async () => {
  expect((await isha("--url URL keys bootstrap --json")).code).toBe(0);
  expect(service.asked).toEqual([]);
});
