// `isha why <request-id>`: explains why a request was refused or failed.
import type { Command } from "commander";
import { HOUR_MS } from "../../shared/calendar.ts";
import { meaningOf } from "../../shared/error-meanings.ts";
import { ERRORS, type ErrorCode } from "../../shared/errors.ts";
import { FAILURES_KEPT, FAILURES_KEPT_MS, FailedRequest } from "../../shared/failures.ts";
import { KeyId, KeyView, unlistedKey } from "../../shared/keys.ts";
import { isNotFound, type AdminApi, type Answer } from "../api/admin-api.ts";
import { addExamples, addServiceOptions, writeJson, type ServiceOptions } from "../options/common.ts";
import { connect } from "../api/connection.ts";
import { CommandFailure, EXIT } from "../failure.ts";
import { agoText, countText, momentText } from "../terminal/format.ts";
import { keyPath } from "../options/arguments.ts";
import { optionValue, parseRequestId } from "../options/values.ts";
import type { CommandContext } from "../context.ts";
import { bold, fieldsText } from "../terminal/table.ts";
import { plain } from "../terminal/safe-text.ts";

const KEPT_H = FAILURES_KEPT_MS / HOUR_MS;

export function addWhy(program: Command, io: CommandContext): void {
  const command = program
    .command("why")
    .summary("why a request was refused or failed")
    .description(
      "Explains why a request was refused or failed: the code, the cause, what it means and what to do. The service " +
        `stores the newest ${countText(FAILURES_KEPT)} of the last ${KEPT_H} h, without any part of a prompt or an answer.`,
    )
    .argument(
      "<request-id>",
      "the answer's x-request-id, or request_id in its error",
      optionValue(parseRequestId),
    );
  addServiceOptions(command).action((id: string, options: ServiceOptions) => why(id, options, io));
  addExamples(command, ["isha why req_0f8e2c54a9d04b7d8a51f0c2b1e6d3a7"]);
}

async function why(id: string, options: ServiceOptions, io: CommandContext): Promise<void> {
  const api = await connect(options, io);
  const { value, raw } = await readFailure(api, id);
  if (options.json === true) return writeJson(io.out, raw);
  const key = value.key === null ? "none" : await keyText(api, value.key);
  io.out.write(failedRequestText(value, key, io));
}

async function readFailure(api: AdminApi, id: string): Promise<Answer<FailedRequest>> {
  try {
    return await api.request(FailedRequest, `/admin/requests/${encodeURIComponent(id)}`);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    throw new CommandFailure(EXIT.failed, `There is no record of ${id}.`, {
      advice: `${error.message} It may belong to another deployment: --url or ISHA_URL sets which one is asked.`,
    });
  }
}

/** The key's id with its name or kind; the id alone if the key no longer exists. */
async function keyText(api: AdminApi, id: string): Promise<string> {
  const unlisted = unlistedKey(id);
  if (unlisted !== null) return `${id} (${unlisted})`;
  if (!KeyId.safeParse(id).success) return id;
  try {
    const { name, state } = (await api.request(KeyView, keyPath(id))).value;
    return `${id} (“${name}”${state === "legacy" ? ", of the fleet file" : ""})`;
  } catch (error) {
    if (!(error instanceof CommandFailure) || error.exitCode === EXIT.interrupted) throw error;
    return id;
  }
}

function failedRequestText(request: FailedRequest, key: string, { out, now }: CommandContext): string {
  const { requestId, at, code, route, cause, agentType, param, model, port, retryAfterS } = request;
  const status = Object.hasOwn(ERRORS, code) ? `${ERRORS[code as ErrorCode].status} ` : "";
  const fields = fieldsText([
    ["request", requestId],
    ["when", `${momentText(at)} (${agoText(Date.parse(at), now())})`],
    ["route", route],
    ["key", key],
    ["agent type", agentType ?? null],
    ["field", param ?? null],
    ["model", model === undefined ? null : port === undefined ? model : `${model} on ${port}`],
    ["retry after", retryAfterS === undefined ? null : `${retryAfterS} s`],
    ["cause", cause ?? "none recorded"],
  ]);
  return `${bold(`${status}${plain(code)}`, out)}\n\n${fields}\n${meaningOf(code)}\n`;
}
