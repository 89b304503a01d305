// Chooses the service and the admin key of a command: options, environment, the operator's key file.
import { resolve } from "node:path";
import { apiKeyId } from "../../shared/api-key.ts";
import { AdminApi } from "./admin-api.ts";
import { adminKeyFile, readKeyFile } from "./admin-key-file.ts";
import { usageFailure } from "../failure.ts";
import type { ServiceOptions } from "../options/common.ts";
import { isLoopback, parseServiceUrl } from "./service-url.ts";
import type { CommandContext } from "../context.ts";

/** Text that fits in a header, up to the edge's own limit. */
const SENDABLE = /^[\x21-\x7e]{1,512}$/;

/** @throws CommandFailure if something is missing or wrong, before anything is sent. */
export async function connect(options: ServiceOptions, io: CommandContext): Promise<AdminApi> {
  const url = await serviceUrl(options, io);
  const key = await adminKey(options, io, url);
  return new AdminApi({ url, key, signal: io.signal });
}

/** The service, and the key if there is one: for a command that works without it. @throws CommandFailure as `connect` */
export async function chooseService(
  options: ServiceOptions,
  io: CommandContext,
): Promise<{ readonly url: string; readonly key: string | null }> {
  const url = await serviceUrl(options, io);
  const named = options.keyFile !== undefined || (io.env["ISHA_ADMIN_KEY"]?.trim() ?? "") !== "";
  const hasKey = named || (await readKeyFile(adminKeyFile(io.homeFolder))) !== null;
  return { url, key: hasKey ? await adminKey(options, io, url) : null };
}

async function serviceUrl(options: ServiceOptions, io: CommandContext): Promise<string> {
  const [name, text] =
    options.url !== undefined
      ? ["--url", options.url]
      : io.env["ISHA_URL"]
        ? ["ISHA_URL", io.env["ISHA_URL"]]
        : ["the fleet file's domain", await io.defaultUrl()];
  const parsed = parseServiceUrl(text);
  // The text may contain a password, so the message doesn't repeat it.
  if (!parsed.ok) throw usageFailure(`${name} can't be used: ${parsed.reason}.`);
  return parsed.value;
}

async function adminKey(options: ServiceOptions, io: CommandContext, url: string): Promise<string> {
  const defaultPath = adminKeyFile(io.homeFolder);
  const fromEnvironment = io.env["ISHA_ADMIN_KEY"]?.trim() ?? "";
  if (options.keyFile !== undefined) {
    const path = resolve(io.folder, options.keyFile);
    const key = await readKeyFile(path);
    if (key === null) throw usageFailure(`There is no file ${path}.`);
    return checkKey(key, path);
  }
  if (fromEnvironment !== "") return checkKey(fromEnvironment, "ISHA_ADMIN_KEY");
  const key = await readKeyFile(defaultPath);
  if (key !== null) return checkKey(key, defaultPath);
  const local = isLoopback(new URL(url).hostname)
    ? " For `npm start` on this machine: ISHA_ADMIN_KEY=dev-admin."
    : "";
  throw usageFailure(
    "There is no admin key.",
    `Put one into ${defaultPath} (chmod 600) or into ISHA_ADMIN_KEY, or name its file: --key-file <file>. ` +
      `A deployment's first one: isha keys bootstrap.${local}`,
  );
}

function checkKey(key: string, source: string): string {
  if (!SENDABLE.test(key))
    throw usageFailure(`${source} doesn't contain a key: a key is one line without spaces.`);
  if (key.startsWith("isha_") && apiKeyId(key) === null) {
    throw usageFailure(
      `The key in ${source} was mistyped or cut off: its last characters don't match the rest.`,
    );
  }
  return key;
}
