// What keys are called, by id, where a list shows ids: a help to the reader, so no failure of its own.
import { KeyList } from "../../shared/keys.ts";
import type { AdminApi } from "./admin-api.ts";
import { CommandFailure, EXIT } from "../failure.ts";

/** The most the service gives at once. */
const PAGE = 200;

/** Empty where they can't be had. */
export async function keyNames(api: AdminApi): Promise<ReadonlyMap<string, string>> {
  try {
    const pages = await api.askAll(KeyList, "/admin/keys", { limit: PAGE });
    return new Map(pages.flatMap(({ value }) => value.keys.map(({ id, name }) => [id, name] as const)));
  } catch (error) {
    if (!(error instanceof CommandFailure) || error.exitCode === EXIT.interrupted) throw error;
    return new Map();
  }
}
