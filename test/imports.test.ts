// The import rules (ARCHITECTURE.md, "Layers"), over the whole tree. A folder that isn't in the table may hold no file.
import { posix } from "node:path";
import { describe, expect, it } from "vitest";
import { importsOf, readSource, sourceFiles, withoutComments, type Import } from "./support/source-text.ts";

interface Room {
  /** Printed when the rule is broken. */
  readonly rule: string;
  readonly files: RegExp;
  /** Files of ours, by path, and packages, by name; `node:` stands for all of Node's. */
  readonly may: readonly (string | RegExp)[];
  /** The same, but for types alone. */
  readonly mayTypes?: readonly (string | RegExp)[];
}

const ENV = "worker/env.ts";

/** The agent's folders in layers: each may import those before it. ARCHITECTURE.md has the same table. */
const AGENT_LAYERS = "probes health slots queue answers servers calls usage telemetry link".split(" ");

/** The edge's folders in layers, likewise. */
const EDGE_LAYERS = "failures http auth limits fleet keys usage pages inference".split(" ");

/** Packages that any file of the agent may import. */
const AGENT_PACKAGES = [/^node:/, "undici", "pino", "prom-client", "itty-router", "ws", "zod"];

/** Single files of the edge that every folder may import; `env` and `context` as types only. */
const EDGE_FILES = ["worker/log.ts", "worker/stubs.ts"];
const EDGE_TYPES = [ENV, "worker/context.ts"];

/** One rule for each layer: itself and the layers before it. */
function layers(program: string, names: readonly string[], rule: Pick<Room, "may" | "mayTypes">): Room[] {
  return names.map((name, at) => ({
    rule: `${program}/${name}/ imports only the layers before it: ${names.slice(0, at).join(", ")}`,
    files: new RegExp(`^${program}/${name}/`),
    may: [...rule.may, new RegExp(`^${program}/(${names.slice(0, at + 1).join("|")})/`)],
    mayTypes: rule.mayTypes ?? [],
  }));
}

/** The first that fits a file holds for it. */
const ROOMS: readonly Room[] = [
  { rule: "shared/ imports zod and itself", files: /^shared\//, may: ["zod", /^shared\//] },
  {
    rule: "a file that defines an object imports shared/, stubs, its folder and the cores of limits/ and failures/",
    files: /^worker\/(.*\/)?[a-z-]+-object\.ts$/,
    may: [
      "cloudflare:workers",
      /^shared\//,
      "worker/stubs.ts",
      /^worker\/(limits|keys|usage|fleet\/(object|alarms))\/(?!.*(route|authenticate|limiter))/,
      /^worker\/failures\/(sampling|store)\.ts$/,
    ],
    mayTypes: [ENV],
  },
  {
    rule: "worker/fleet/object/ and alarms/ import shared/, their own files and the failures store",
    files: /^worker\/fleet\/(object|alarms)\//,
    may: [/^shared\//, /^worker\/fleet\/(object|alarms)\//, /^worker\/failures\//],
    mayTypes: [ENV],
  },
  ...layers("worker", EDGE_LAYERS, {
    may: ["hono", "zod", /^shared\//, ...EDGE_FILES],
    mayTypes: EDGE_TYPES,
  }).map((room) =>
    // The chains' first files read the environment.
    room.rule.startsWith("worker/http/") ? { ...room, may: [...room.may, ENV] } : room,
  ),
  {
    rule: "worker/env.ts imports zod, shared/ and the objects' types",
    files: /^worker\/env\.ts$/,
    may: ["zod", /^shared\//],
    mayTypes: [/^worker\/.*-object\.ts$/],
  },
  {
    rule: "worker/context.ts, log.ts and stubs.ts import hono, shared/ and types of env, fleet/snapshot and the refusal log",
    files: /^worker\/(context|log|stubs)\.ts$/,
    may: ["hono", /^shared\//],
    mayTypes: [ENV, "worker/fleet/snapshot.ts", "worker/failures/refusal-log.ts"],
  },
  {
    rule: "worker/app.ts and index.ts import hono, shared/, all of worker/ and the fleet file",
    files: /^worker\/(app|index)\.ts$/,
    may: ["hono", /^shared\//, /^worker\//, "fleet.config.ts"],
  },
  ...layers("origin-agent", AGENT_LAYERS, { may: [...AGENT_PACKAGES, /^shared\//] }),
  {
    rule: "origin-agent/llama-log/ is a program of its own: it imports node: and telemetry/log-sink",
    files: /^origin-agent\/llama-log\//,
    may: [/^node:/, /^origin-agent\/llama-log\//, "origin-agent/telemetry/log-sink.ts"],
  },
  {
    rule: "origin-agent/main.ts imports what the agent may, and the fleet file",
    files: /^origin-agent\/main\.ts$/,
    may: [...AGENT_PACKAGES, /^shared\//, /^origin-agent\//, "fleet.config.ts"],
  },
  {
    rule: "origin-agent/ imports node:, its packages, shared/ and its folders",
    files: /^origin-agent\/[a-z-]+\.ts$/,
    may: [...AGENT_PACKAGES, /^shared\//, /^origin-agent\/(?!main\.ts)/],
  },
  {
    rule: "cli/ imports node:, packages, shared/, origin-agent/probes/, the fleet file and itself",
    files: /^cli\//,
    may: [/^node:/, /^@?[a-z-]+$/, /^shared\//, /^origin-agent\/probes\//, "fleet.config.ts", /^cli\//],
  },
  {
    rule: "console/ imports its packages, shared/ and itself",
    files: /^console\//,
    may: ["preact", "@preact/signals", "uplot", "zod", /^shared\//, /^console\//],
  },
  { rule: "fleet.config.ts imports shared/", files: /^fleet\.config\.ts$/, may: [/^shared\//] },
  {
    rule: "bench/ starts programs and imports none of worker/, origin-agent/, shared/",
    files: /^bench\//,
    may: [/^node:/, /^@?[a-z-]+$/, /^scripts\//, "fleet.config.ts", /^bench\//],
  },
  {
    rule: "scripts/build generates documents: it imports node:, its packages, itself, shared/ and the schemas of bodies",
    files: /^scripts\/build(\.ts|\/)/,
    may: [/^node:/, /^@?[a-z-]+$/, /^scripts\//, /^shared\//, /^worker\/inference\/bodies\//],
  },
  {
    rule: "scripts/start simulates a box: it imports node:, its packages, scripts/ and shared/",
    files: /^scripts\/start(\.ts|\/)/,
    may: [/^node:/, /^@?[a-z-]+$/, /^scripts\//, /^shared\//],
  },
  {
    rule: "scripts/ starts programs and imports node:, its packages, itself and types of shared/fleet",
    files: /^scripts\//,
    may: [/^node:/, /^@?[a-z-]+$/, /^scripts\//],
    mayTypes: ["shared/fleet.ts"],
  },
];

/** Tests may import anything, as long as nothing imports them. */
const FREE = /^(test\/|vitest\.config\.ts$)/;

interface Target extends Import {
  /** The file's path or the package's name. */
  readonly to: string;
  readonly ours: boolean;
}

function targetsOf(path: string, text: string): Target[] {
  return importsOf(text).map((found) => {
    const { specifier } = found;
    if (specifier.startsWith("."))
      return { ...found, to: posix.join(posix.dirname(path), specifier), ours: true };
    const [first = "", second = ""] = specifier.split("/");
    const name = first.startsWith("@") ? `${first}/${second}` : first;
    return { ...found, to: /^(node|cloudflare):/.test(specifier) ? specifier : name, ours: false };
  });
}

const fits = (to: string, list: readonly (string | RegExp)[]): boolean =>
  list.some((entry) => (typeof entry === "string" ? entry === to : entry.test(to)));

/** Every breach of the table in a tree, as `file → import: rule`. */
function importFaults(tree: ReadonlyMap<string, string>): string[] {
  const faults: string[] = [];
  for (const [path, text] of tree) {
    const room = ROOMS.find(({ files }) => files.test(path));
    if (room === undefined && !FREE.test(path)) faults.push(`${path}: is in no room of the table`);
    if (/(^|\/)(utils?|helpers?|misc)(\.|\/)/i.test(path))
      faults.push(`${path}: is named for nothing it does`);
    if (
      path.startsWith("worker/") &&
      path !== "worker/stubs.ts" &&
      /\.(getByName|idFromName|idFromString|newUniqueId)\(/.test(withoutComments(text))
    )
      faults.push(`${path}: reaches an object without worker/stubs.ts`);
    if (/^export\s*\*/m.test(withoutComments(text))) faults.push(`${path}: is a barrel (export *)`);
    for (const target of targetsOf(path, text)) {
      const breach = (rule: string): number => faults.push(`${path} → ${target.specifier}: ${rule}`);
      if (target.ours && !tree.has(target.to)) breach("names no file of ours; imports carry their ending");
      else if (room === undefined) continue;
      else if (target.to.startsWith("test/")) breach("nothing imports test/");
      else if (!fits(target.to, room.may) && !(target.typeOnly && fits(target.to, room.mayTypes ?? [])))
        breach(room.rule);
    }
  }
  return [...faults, ...cycles(tree)];
}

/** Circles of imports. The environment names the objects' types and they its: there alone, and in tests, types may turn back. */
function cycles(tree: ReadonlyMap<string, string>): string[] {
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, way: readonly string[]): void => {
    const at = way.indexOf(path);
    if (at >= 0) found.push(`${[...way.slice(at), path].join(" → ")}: a cycle`);
    if (at >= 0 || done.has(path)) return;
    for (const { to, typeOnly } of targetsOf(path, tree.get(path) ?? "")) {
      if (tree.has(to) && !(typeOnly && (path === ENV || FREE.test(path)))) visit(to, [...way, path]);
    }
    done.add(path);
  };
  for (const path of tree.keys()) visit(path, []);
  return found;
}

const tree = sourceFiles([
  "{shared,worker,origin-agent,cli,console,bench,scripts,test}/**/*.{ts,tsx,mts,cts,js,mjs,cjs}",
  "test/fixtures/*.json",
  "*.{ts,mts,js,mjs}",
]);

describe("who imports whom", () => {
  it("is as the design's table says, with no cycle, no barrel and no utils, over the whole tree", () => {
    const sources = new Map(
      [...tree].filter(([path]) => !path.endsWith(".json") || path.startsWith("test/")),
    );
    expect(sources.size).toBeGreaterThan(80);
    expect(importFaults(sources)).toEqual([]);
  });

  it("leaves no declared dependency without a file that imports it", () => {
    const { dependencies } = JSON.parse(readSource("package.json")) as { dependencies: object };
    const imported = new Set(
      [...tree].flatMap(([path, text]) =>
        FREE.test(path) ? [] : targetsOf(path, text).map((target) => target.to),
      ),
    );
    // `node` is the runtime itself, for machines whose own is too old.
    expect(Object.keys(dependencies).filter((name) => name !== "node" && !imported.has(name))).toEqual([]);
  });
});

describe("a planted breach is found, with its file, its import and the rule:", () => {
  const planted = (path: string, text: string, ...others: string[]): string[] =>
    importFaults(new Map([[path, text], ...others.map((other) => [other, ""] as const)]));

  it.each<[string, string, string, string, ...string[]]>([
    ["a runtime in shared/", "shared/a.ts", 'import { x } from "node:fs";', "→ node:fs: shared/ imports"],
    ["a package in shared/", "shared/a.ts", 'import "hono/cors";', "→ hono/cors: shared/ imports"],
    ["a late import in shared/", "shared/a.ts", 'await import("undici");', "→ undici: shared/ imports"],
    [
      "an object's value of env",
      "worker/keys/a-object.ts",
      'import { e } from "../env.ts";',
      "defines an object",
      ENV,
    ],
    [
      "a layer above",
      "worker/auth/a.ts",
      'import { l } from "../limits/b.ts";',
      "only the layers before it",
      "worker/limits/b.ts",
    ],
    [
      "a layer above in the agent",
      "origin-agent/slots/a.ts",
      'import type { B } from "../servers/b.ts";',
      "only the layers before it",
      "origin-agent/servers/b.ts",
    ],
    [
      "the fleet in a route",
      "worker/keys/a.ts",
      'import f from "../../fleet.config.ts";',
      "layers before it",
      "fleet.config.ts",
    ],
    [
      "an object reached directly",
      "worker/keys/a.ts",
      'env.API_KEY.getByName("x");',
      "without worker/stubs.ts",
    ],
    [
      "the edge in the agent",
      "origin-agent/a.ts",
      'import "../worker/app.ts";',
      "origin-agent/",
      "worker/app.ts",
    ],
    ["hono in the agent", "origin-agent/a.ts", 'import "hono";', "→ hono: origin-agent/ imports"],
    [
      "the agent in the fleet",
      "fleet.config.ts",
      'import "./origin-agent/a.ts";',
      "fleet",
      "origin-agent/a.ts",
    ],
    ["shared/ in the bench", "bench/a.ts", 'import "../shared/a.ts";', "bench/ starts", "shared/a.ts"],
    [
      "a test in the agent",
      "origin-agent/a.ts",
      'import "../test/a.ts";',
      "nothing imports test/",
      "test/a.ts",
    ],
    ["a file without its ending", "shared/a.ts", 'import "./b";', "names no file of ours", "shared/b.ts"],
  ])("%s", (_what, path, text, rule, ...others) => {
    const faults = planted(path, text, ...others);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(path);
    expect(faults[0]).toContain(rule);
  });

  it("a barrel, a file named utils, and a file in no room", () => {
    expect(planted("shared/utils.ts", 'export * from "./a.ts";', "shared/a.ts")).toEqual([
      "shared/utils.ts: is named for nothing it does",
      "shared/utils.ts: is a barrel (export *)",
    ]);
    expect(planted("lib/a.ts", "")).toEqual(["lib/a.ts: is in no room of the table"]);
  });

  it("a cycle, also through types", () => {
    const circle = new Map([
      ["shared/a.ts", 'import "./b.ts";'],
      ["shared/b.ts", 'import type { C } from "./c.ts";'],
      ["shared/c.ts", 'import "./a.ts";'],
    ]);
    expect(importFaults(circle)).toEqual(["shared/a.ts → shared/b.ts → shared/c.ts → shared/a.ts: a cycle"]);
  });

  it("and what the table allows is not", () => {
    const allowed = new Map([
      ["worker/env.ts", 'import * as z from "zod";\nimport type { O } from "./keys/o-object.ts";'],
      [
        "worker/keys/o-object.ts",
        'import { D } from "cloudflare:workers";\nimport type { E } from "../env.ts";',
      ],
      ["origin-agent/a.ts", 'import { request } from "undici";\nimport { x } from "../shared/a.ts";'],
      ["shared/a.ts", 'import * as z from "zod";'],
      ["test/a.test.ts", 'import "../worker/env.ts";'],
    ]);
    expect(importFaults(allowed)).toEqual([]);
  });
});
