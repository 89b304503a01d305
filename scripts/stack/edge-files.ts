// Texts of the files for `wrangler dev`: the variables and, for a fleet file other than the project's own, an entry and a
// configuration made from the shipped ones. Pure.
import { dirname, resolve } from "node:path";

/** Keys of wrangler.toml whose values are paths, relative to it. */
const PATH_KEYS = ["main", "directory", "base_dir", "tsconfig", "cwd"];

/**
 * A Worker entry that is the shipped one but for the fleet it serves.
 * @param shipped text of the shipped entry
 * @param files absolute paths
 */
export function entryText(
  shipped: string,
  { entryFile, shippedFleet, fleetFile }: { entryFile: string; shippedFleet: string; fleetFile: string },
) {
  let replaced = false;
  const text = shipped.replaceAll(
    /(\bfrom\s+|\bimport\s+)"(\.{1,2}\/[^"]+)"/g,
    (_whole, keyword: string, path: string) => {
      const absolute = resolve(dirname(entryFile), path);
      if (absolute === shippedFleet) replaced = true;
      return keyword + JSON.stringify(absolute === shippedFleet ? fleetFile : absolute);
    },
  );
  if (!replaced)
    throw new Error(`${entryFile} doesn't import ${shippedFleet}, so no other fleet can be put in`);
  return text;
}

/**
 * A wrangler configuration that works from another folder, with another entry and other assets.
 * @param shipped text of wrangler.toml
 * @param paths `root`: the folder of the shipped one; `main`: the new entry; `assets`: the folder of the new assets, if there are others
 */
export function configText(
  shipped: string,
  { root, main, assets }: { root: string; main: string; assets?: string },
) {
  const replaced: Record<string, string | undefined> = { main, directory: assets };
  const paths = new RegExp(`^(\\s*|.*[{,]\\s*)(${PATH_KEYS.join("|")})(\\s*=\\s*)"([^"]*)"`, "gm");
  return shipped.replaceAll(
    paths,
    (_whole, before: string, key: string, equals: string, path: string) =>
      `${before}${key}${equals}${JSON.stringify(replaced[key] ?? resolve(root, path))}`,
  );
}

/** Variables as wrangler's env-file reader takes them: a value in single quotes stays as it is. */
export function envFileText(variables: Record<string, string>) {
  return Object.entries(variables)
    .map(([name, value]) => {
      const quote = ["'", "`", '"'].find((mark) => !value.includes(mark));
      if (quote === undefined || /[\r\n]/.test(value)) {
        throw new Error(`the Worker variable ${name} can't be written to an env file: quotes or line breaks`);
      }
      return `${name}=${quote}${value}${quote}\n`;
    })
    .join("");
}

/**
 * Secrets that a deployment may lack. wrangler.toml can't declare them: a deploy fails if a declared one is missing,
 * and a value under [vars] would replace a deployed secret. `wrangler dev` receives them on its command line instead.
 */
export const OPTIONAL_SECRETS = ["ALERT_WEBHOOK_URL", "FIRST_ADMIN_KEY_SHA256"];

/**
 * The names that a Worker would never receive: wrangler silently drops what its configuration doesn't declare.
 * @param config text of wrangler.toml
 */
export function undeclared(config: string, names: readonly string[]) {
  return names.filter((name) => !new RegExp(`\\b${name}\\b`).test(config));
}

/**
 * Separates the variables of the env file from those of the command line.
 * @param config text of wrangler.toml
 * @throws Error that names those that the Worker wouldn't receive either way
 */
export function sortVariables(config: string, variables: Record<string, string>) {
  const further = undeclared(config, Object.keys(variables));
  const unknown = further.filter((name) => !OPTIONAL_SECRETS.includes(name));
  if (unknown.length > 0)
    throw new Error(`wrangler.toml declares no ${unknown.join(", ")}, so the Worker wouldn't see it`);
  const those = (isFurther: boolean) =>
    Object.fromEntries(Object.entries(variables).filter(([name]) => further.includes(name) === isFurther));
  return { declared: those(false), vars: those(true) };
}
