// Names of keys by id, for lists that contain only ids. A list is useful without them, so a failed request is ignored.
import { KeyList } from "../../shared/keys.ts";
import type { AdminApi } from "./admin-api.ts";
import { CommandFailure, EXIT } from "../failure.ts";

/** Largest page that the service returns. */
const PAGE = 200;

/** Empty if they can't be read. */
export async function keyNames(api: AdminApi): Promise<ReadonlyMap<string, string>> {
  try {
    const pages = await api.requestPages(KeyList, "/admin/keys", { limit: PAGE });
    return new Map(pages.flatMap(({ value }) => value.keys.map(({ id, name }) => [id, name] as const)));
  } catch (error) {
    if (!(error instanceof CommandFailure) || error.exitCode === EXIT.interrupted) throw error;
    return new Map();
  }
}
