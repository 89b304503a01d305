// The configuration that runs one built Worker in workerd with nothing in front of it or behind it. Pure.
// `wrangler dev` puts its own Worker in front of ours, in a second workerd, and miniflare adds one on each side, in the
// same workerd: together they cost more than the call that is measured.

/** The part of wrangler's configuration that affects a call, as `unstable_readConfig` returns it. */
export interface WorkerSettings {
  readonly compatibility_date?: string | undefined;
  readonly compatibility_flags: readonly string[];
  readonly vars: Readonly<Record<string, unknown>>;
  readonly durable_objects: {
    readonly bindings: readonly { readonly name: string; readonly class_name: string }[];
  };
  readonly ratelimits: readonly { readonly name: string }[];
}

const STUBS = "bench-stubs:rate-limit";

/**
 * @param settings of the Worker
 * @param modules its files, in the configuration's folder; the first is its entry
 * @param vars variables and secrets, in place of the settings' own
 * @param storage folder of the objects' databases: objects in memory have none
 * @returns text in Cap'n Proto's notation
 */
export function workerdConfig(
  settings: WorkerSettings,
  modules: readonly string[],
  vars: Readonly<Record<string, string>>,
  storage: string,
): string {
  const objects = settings.durable_objects.bindings;
  const bindings = [
    ...Object.entries({ ...settings.vars, ...vars }).map(
      ([name, value]) => `(name = ${text(name)}, text = ${text(String(value))})`,
    ),
    ...objects.map(
      ({ name, class_name }) => `(name = ${text(name)}, durableObjectNamespace = ${text(class_name)})`,
    ),
    ...settings.ratelimits.map(
      ({ name }) => `(name = ${text(name)}, wrapped = (moduleName = ${text(STUBS)}))`,
    ),
  ];
  const namespaces = objects.map(
    ({ class_name }) =>
      `(className = ${text(class_name)}, uniqueKey = ${text(class_name)}, enableSql = true)`,
  );
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "internet", network = (allow = ["private"])),
    (name = "objects", disk = (path = ${text(storage)}, writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
  extensions = [(modules = [(name = ${text(STUBS)}, internal = true, esModule = ${text(RATE_LIMIT)})])],
);
const main :Workerd.Worker = (
  modules = [${modules.map((name) => `(name = ${text(name)}, esModule = embed ${text(name)})`).join(", ")}],
  compatibilityDate = ${text(settings.compatibility_date ?? "")},
  compatibilityFlags = [${settings.compatibility_flags.map(text).join(", ")}],
  bindings = [${bindings.join(", ")}],
  durableObjectNamespaces = [${namespaces.join(", ")}],
  durableObjectStorage = (localDisk = "objects"),
);
`;
}

/** The platform's own rate limit answers within the machine; what it costs there is not ours. */
const RATE_LIMIT = "export default () => ({ limit: async () => ({ success: true }) });";

/** A string in Cap'n Proto's notation; its escapes are C's, and these are JSON's too. */
function text(value: string): string {
  // What remains of JSON's escapes that C's don't know is the solidus, which JSON.stringify never escapes,
  // and \uXXXX, which it writes for control characters alone.
  return JSON.stringify(value);
}
