// Which service a command talks to and with which key: options, environment, the operator's own file.
import { resolve } from "node:path";
import { apiKeyId } from "../../shared/api-key.ts";
import { AdminApi } from "./admin-api.ts";
import { adminKeyFile, readKeyFile } from "./admin-key-file.ts";
import { usageFailure } from "../failure.ts";
import { isLoopback, readServiceUrl } from "./service-url.ts";
import type { CommandContext } from "../context.ts";

export interface ConnectionOptions {
  readonly url?: string;
  readonly keyFile?: string;
}

/** What a header can carry; the length is the edge's own bound. */
const SENDABLE = /^[\x21-\x7e]{1,512}$/;

/** @throws CommandFailure that says what is missing or wrong, before anything is sent. */
export async function connect(options: ConnectionOptions, around: CommandContext): Promise<AdminApi> {
  const url = await serviceUrl(options, around);
  const key = await adminKey(options, around, url);
  return new AdminApi({ url, key, signal: around.signal });
}

async function serviceUrl(options: ConnectionOptions, around: CommandContext): Promise<string> {
  const [name, text] =
    options.url !== undefined
      ? ["--url", options.url]
      : around.env["ISHA_URL"]
        ? ["ISHA_URL", around.env["ISHA_URL"]]
        : ["the fleet file's domain", await around.defaultUrl()];
  const reading = readServiceUrl(text);
  // What was typed may hold a password: it isn't said again.
  if (!reading.ok) throw usageFailure(`${name} can't be used: ${reading.why}.`);
  return reading.value;
}

async function adminKey(options: ConnectionOptions, around: CommandContext, url: string): Promise<string> {
  const usual = adminKeyFile(around.homeFolder);
  const fromEnvironment = around.env["ISHA_ADMIN_KEY"]?.trim() ?? "";
  if (options.keyFile !== undefined) {
    const path = resolve(around.folder, options.keyFile);
    const key = await readKeyFile(path);
    if (key === null) throw usageFailure(`There is no file ${path}.`);
    return usable(key, path);
  }
  if (fromEnvironment !== "") return usable(fromEnvironment, "ISHA_ADMIN_KEY");
  const key = await readKeyFile(usual);
  if (key !== null) return usable(key, usual);
  const local = isLoopback(new URL(url).hostname)
    ? " For `npm start` on this machine: ISHA_ADMIN_KEY=dev-admin."
    : "";
  throw usageFailure(
    "There is no admin key.",
    `Put one into ${usual} (chmod 600) or into ISHA_ADMIN_KEY, or name its file: --key-file <file>. ` +
      `The first one of a deployment: isha keys bootstrap.${local}`,
  );
}

function usable(key: string, from: string): string {
  if (!SENDABLE.test(key)) throw usageFailure(`${from} holds no key: one line without spaces is wanted.`);
  if (key.startsWith("isha_") && apiKeyId(key) === null) {
    throw usageFailure(`The key in ${from} was mistyped or cut off: its last characters don't fit the rest.`);
  }
  return key;
}
