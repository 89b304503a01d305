// The key commands against an admin API, in this process: their requests and their output.
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { CommandContext } from "../../../cli/context.ts";
import { ADMIN_KEY, AdminService, secretOf } from "../support/admin-service.ts";
import { runHere } from "../support/run-isha.ts";

const service = new AdminService();
let url: string;
beforeAll(async () => {
  url = await service.start();
});
afterAll(() => service.stop());
beforeEach(() => service.reset());

const isha = (line: string, given: Partial<CommandContext> = {}) =>
  runHere(line.split(" "), { env: { ISHA_URL: url, ISHA_ADMIN_KEY: ADMIN_KEY }, ...given });

async function inFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "isha-keys-"));
  folders.push(folder);
  return folder;
}
const folders: string[] = [];
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))));

describe("keys create", () => {
  it("sends only what was typed, so that the service's defaults apply", async () => {
    await isha("keys create --name Clinic");
    await isha(
      "keys create --name b --agents Clinical,Claims --scopes infer,admin --per-second 500 --concurrent 8 --tokens-per-month 5M " +
        "--priority high --fallback none --address-exempt --expires 2027-01-31",
    );
    expect(service.requests.map(({ body }) => body)).toEqual([
      { name: "Clinic" },
      {
        name: "b",
        scopes: ["infer", "admin"],
        agents: ["Clinical", "Claims"],
        limits: { perSecond: 500, concurrent: 8, tokensPerMonth: 5_000_000 },
        priority: "high",
        fallback: "none",
        addressExempt: true,
        expiresAt: "2027-01-31T00:00:00.000Z",
      },
    ]);
  });

  it("shows id, limits and the key, and warns that it is shown only once", async () => {
    const ran = await isha("keys create --name Clinic --tokens-per-month 5M");
    const [key] = service.keys.keys();
    expect(ran.code).toBe(0);
    expect(ran.out).toContain(`id                   ${key ?? ""}`);
    expect(ran.out).toContain("tokens per month     5,000,000");
    expect(ran.out).toContain(secretOf(key ?? "", 1));
    expect(ran.err).toContain("shown only once");
  });

  it("--json prints the service's unchanged answer", async () => {
    const { out } = await isha("keys create --name Clinic --json");
    expect(JSON.parse(out)).toEqual({ ...[...service.keys.values()][0], key: secretOf("key000000000", 1) });
  });

  it("--save writes the key to a file of mode 0600 and doesn't print it", async () => {
    const folder = await inFolder();
    const ran = await isha("keys create --name Clinic --save clinic.key", { folder });
    const path = join(folder, "clinic.key");
    expect(await readFile(path, "utf8")).toBe(`${secretOf("key000000000", 1)}\n`);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(ran.out + ran.err).not.toContain(secretOf("key000000000", 1));
  });

  it("--save never overwrites a file, and leaves no file if no key is made", async () => {
    const folder = await inFolder();
    await writeFile(join(folder, "old.key"), "precious");
    const ran = await isha("keys create --name Clinic --save old.key", { folder });
    expect(ran.code).toBe(1);
    expect(ran.err).toContain("is not overwritten");
    expect(service.requests).toEqual([]);
    expect(await readFile(join(folder, "old.key"), "utf8")).toBe("precious");
    service.fault = {
      status: 503,
      body: JSON.stringify({ error: { code: "limiter_unavailable", message: "Later." } }),
    };
    expect((await isha("keys create --name Clinic --save new.key", { folder })).code).toBe(1);
    await expect(stat(join(folder, "new.key"))).rejects.toThrow("ENOENT");
  });

  it.each([
    ["keys create", "required option '--name <name>'"],
    ["keys create --name x --scopes foo", '--scopes: Invalid option: expected one of "infer"|"admin"'],
    ["keys create --name x --per-second 1000000", "--per-second:"],
    ["keys create --name x --per-second 0", "whole number of at least 1"],
    ["keys create --name x --concurrent 1.5", "whole number of at least 1"],
    ["keys create --name x --priority urgent", "Allowed choices are high, normal, low"],
    ["keys create --name x --expires tomorrow", "It must be a day, such as 2027-01-31"],
    ["keys create --name x surplus", "too many arguments"],
    [`keys create --name ${"x".repeat(200)}`, "--name: Too big"],
    ["keys creat", "(Did you mean create?)"],
    ["keys create --name x --agent y", "(Did you mean --agents?)"],
    ["key list", "(Did you mean keys?)"],
  ])("%s: refused as wrong usage, and nothing is sent", async (line, text) => {
    const ran = await isha(line);
    expect(ran.code).toBe(2);
    expect(ran.err).toContain(text);
    expect(service.requests).toEqual([]);
  });
});

describe("keys list and show", () => {
  beforeEach(() => {
    service.addKey({ id: "3fA9kQ2mXw7b", agents: ["Clinical", "Claims"], expiresAt: "2027-01-31T00:00:00Z" });
    service.addKey({ id: "revoked00001", state: "revoked", name: "Old" });
    service.addKey({ id: "third0000001", name: "Third" });
  });

  it("one page, with a hint if there are more; --all reads every page", async () => {
    const first = await isha("keys list");
    expect(first.out.split("\n").slice(0, 2)).toEqual([
      "ID            NAME              STATE    SCOPES  AGENT TYPES       PER SECOND  CONCURRENT  TOKENS/MONTH  EXPIRES",
      "3fA9kQ2mXw7b  Riverside Clinic  active   infer   Clinical, Claims       1,000           –             –  2027-01-31",
    ]);
    expect(first.out).not.toContain("third0000001");
    expect(first.err).toContain("the first 2; --all shows all");
    const all = await isha("keys list --all");
    expect(all.out).toContain("third0000001");
    expect(all.err).toBe("");
    expect(JSON.parse((await isha("keys list --all --json")).out)).toEqual({
      keys: [...service.keys.values()],
      next: null,
    });
  });

  it("only the keys in a state", async () => {
    expect((await isha("keys list --state revoked")).out).not.toContain("3fA9kQ2mXw7b");
    expect((await isha("keys list --state legacy")).err).toBe("No key is legacy.\n");
    expect((await isha("keys list --state dead")).code).toBe(2);
  });

  it("one key; for an unknown key the service's message and the request id", async () => {
    expect((await isha("keys show 3fA9kQ2mXw7b")).out).toContain(
      "expires              2027-01-31 00:00:00 UTC (in 68 d)",
    );
    const ran = await isha("keys show nobody000001");
    expect(ran.code).toBe(1);
    expect(ran.err).toMatch(/There is no key nobody000001.*\nRequest id: req_/);
  });

  it("a complete key in place of an id is refused and not sent", async () => {
    const ran = await isha(`keys show ${secretOf("3fA9kQ2mXw7b", 1)}`);
    expect(ran.code).toBe(2);
    expect(ran.err).toContain("This is a complete key");
    expect(service.requests).toEqual([]);
  });

  it("a name that would move the cursor is shown without its control characters", async () => {
    service.addKey({ id: "evil00000001", name: "a\u009b2Jb\u202e" });
    expect((await isha("keys show evil00000001")).out).toContain("name                 a�2Jb�");
  });
});

describe("keys change", () => {
  beforeEach(() => service.addKey({ id: "3fA9kQ2mXw7b", addressExempt: true }));

  it("sets the given properties; all and none remove a limit", async () => {
    const ran = await isha(
      "keys change 3fA9kQ2mXw7b --agents all --tokens-per-month none --concurrent none --expires none --no-address-exempt",
    );
    expect(ran.code).toBe(0);
    expect(service.requests).toMatchObject([
      {
        method: "PATCH",
        path: "/admin/keys/3fA9kQ2mXw7b",
        body: {
          agents: null,
          limits: { concurrent: null, tokensPerMonth: null },
          addressExempt: false,
          expiresAt: null,
        },
      },
    ]);
    expect(ran.out).toContain("limited by address   yes");
  });

  it("without a change is refused, and nothing is sent", async () => {
    const ran = await isha("keys change 3fA9kQ2mXw7b");
    expect(ran.code).toBe(2);
    expect(ran.err).toContain("No change was given.");
    expect(service.requests).toEqual([]);
  });
});

describe("keys revoke", () => {
  beforeEach(() => service.addKey({ id: "3fA9kQ2mXw7b" }));
  const state = () => service.keys.get("3fA9kQ2mXw7b")?.state;

  it("asks at a terminal, with the key's name, and needs a yes", async () => {
    const questions: string[] = [];
    const answering = (answer: string) => (question: string) => {
      questions.push(question);
      return Promise.resolve(answer);
    };
    for (const answer of ["", "n", "yesterday"]) {
      expect((await isha("keys revoke 3fA9kQ2mXw7b", { ask: answering(answer) })).code).toBe(1);
      expect(state()).toBe("active");
    }
    expect(questions[0]).toBe("Revoke 3fA9kQ2mXw7b (“Riverside Clinic”) permanently? [y/N] ");
    expect((await isha("keys revoke 3fA9kQ2mXw7b", { ask: answering("y") })).code).toBe(0);
    expect(state()).toBe("revoked");
  });

  it("without a terminal and without --yes is refused before anything is sent", async () => {
    const ran = await isha("keys revoke 3fA9kQ2mXw7b");
    expect(ran.code).toBe(2);
    expect(ran.err).toContain("--yes");
    expect(service.requests).toEqual([]);
    expect((await isha("keys revoke 3fA9kQ2mXw7b --yes")).out).toContain("It stops working within a second.");
    expect(state()).toBe("revoked");
  });
});

describe("keys rotate", () => {
  beforeEach(() => service.addKey({ id: "3fA9kQ2mXw7b" }));

  it("shows the new secret and how long the old one stays valid", async () => {
    const ran = await isha("keys rotate 3fA9kQ2mXw7b --grace 7d");
    expect(service.requests[0]?.body).toEqual({ graceSeconds: 604_800 });
    expect(ran.out).toContain(secretOf("3fA9kQ2mXw7b", 2));
    expect(ran.out).toContain("old secret until     2026-11-30 14:00:00 UTC (in 6 d 23 h)");
  });

  it("sends the grace period only if it is given, 0 included", async () => {
    await isha("keys rotate 3fA9kQ2mXw7b");
    await isha("keys rotate 3fA9kQ2mXw7b --grace 0");
    expect(service.requests.map(({ body }) => body)).toEqual([{}, { graceSeconds: 0 }]);
    expect((await isha("keys rotate 3fA9kQ2mXw7b --grace 31d")).code).toBe(2);
  });
});
