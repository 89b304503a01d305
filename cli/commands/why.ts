// `isha why <request-id>`: what came of a request that was refused or failed.
import type { Command } from "commander";
import { ERRORS, type ErrorCode } from "../../shared/errors.ts";
import { FAILURES_KEPT, FAILURES_KEPT_MS, RequestFate } from "../../shared/failures.ts";
import { KeyId, KeyView } from "../../shared/keys.ts";
import { unlistedKey } from "../../shared/unlisted-keys.ts";
import { saysUnknown, type AdminApi } from "../api/admin-api.ts";
import { addExamples, addServiceOptions, writeJson, type OutputOptions } from "../options/common-options.ts";
import { connect, type ConnectionOptions } from "../api/connection.ts";
import { CommandFailure, EXIT } from "../failure.ts";
import { agoText, countText, momentText } from "../terminal/figures.ts";
import { keyPath } from "../options/key-argument.ts";
import { optionValue, readRequestId } from "../options/option-values.ts";
import type { CommandContext } from "../context.ts";
import { bold, fieldsText } from "../terminal/table.ts";
import { plain } from "../terminal/safe-text.ts";

const KEPT_H = FAILURES_KEPT_MS / 3_600_000;

type Options = OutputOptions & ConnectionOptions;

export function addWhy(program: Command, around: CommandContext): void {
  const command = program
    .command("why")
    .summary("what came of a request that was refused or failed")
    .description(
      "Tells what came of a request that was refused or failed: the code, the cause, what it means and what to do. " +
        `The newest ${countText(FAILURES_KEPT)} of the last ${KEPT_H} h are kept; no part of a prompt or an answer ever is.`,
    )
    .argument(
      "<request-id>",
      "the answer's x-request-id, or request_id in its error",
      optionValue(readRequestId),
    );
  addServiceOptions(command).action((id: string, options: Options) => why(id, options, around));
  addExamples(command, ["isha why req_0f8e2c54a9d04b7d8a51f0c2b1e6d3a7"]);
}

async function why(id: string, options: Options, around: CommandContext): Promise<void> {
  const api = await connect(options, around);
  const { value, raw } = await fateOf(api, id);
  if (options.json === true) return writeJson(around.out, raw);
  const whose = value.key === null ? "none" : await keyText(api, value.key);
  around.out.write(fateText(value, whose, around));
}

async function fateOf(api: AdminApi, id: string) {
  try {
    return await api.ask(RequestFate, `/admin/requests/${encodeURIComponent(id)}`);
  } catch (error) {
    if (!saysUnknown(error)) throw error;
    throw new CommandFailure(EXIT.failed, `Nothing is known of ${id}.`, {
      advice: `${error.message} Or it was another deployment's: --url and ISHA_URL say which one is asked.`,
    });
  }
}

/** Its id, and what is known of it: nothing of a key that is no more. */
async function keyText(api: AdminApi, id: string): Promise<string> {
  const unlisted = unlistedKey(id);
  if (unlisted !== null) return `${id} (${unlisted})`;
  if (!KeyId.safeParse(id).success) return id;
  try {
    const { name, state } = (await api.ask(KeyView, keyPath(id))).value;
    return `${id} (“${name}”${state === "legacy" ? ", of the fleet file" : ""})`;
  } catch (error) {
    if (!(error instanceof CommandFailure) || error.exitCode === EXIT.interrupted) throw error;
    return id;
  }
}

function fateText(fate: RequestFate, whose: string, { out, now }: CommandContext): string {
  const { requestId, at, code, route, cause, meaning } = fate;
  const status = Object.hasOwn(ERRORS, code) ? `${ERRORS[code as ErrorCode].status} ` : "";
  const fields = fieldsText([
    ["request", requestId],
    ["when", `${momentText(at)} (${agoText(Date.parse(at), now())})`],
    ["route", route],
    ["key", whose],
    ["cause", cause],
  ]);
  return `${bold(`${status}${plain(code)}`, out)}\n\n${fields}\n${plain(meaning)}\n`;
}
