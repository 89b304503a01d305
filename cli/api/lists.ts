// Reads lists of the admin API, which come in pages.
import type * as z from "zod/mini";
import type { AdminApi, Query } from "./admin-api.ts";

interface ListRequest<Field extends string, Row> {
  /** The property that has a page's rows. */
  readonly field: Field;
  readonly schema: z.ZodMiniType<Readonly<Record<Field, Row[]>> & { readonly next: string | null }>;
  readonly path: string;
  readonly query: Query;
  /** Whether to read all pages instead of the first. */
  readonly all: boolean;
}

interface List<Row> {
  readonly rows: readonly Row[];
  /** Whether there are further pages. */
  readonly more: boolean;
  /** For `--json`: the pages as one, with the rows as the service sent them. */
  readonly raw: unknown;
}

export async function readList<Field extends string, Row>(
  api: AdminApi,
  { field, schema, path, query, all }: ListRequest<Field, Row>,
): Promise<List<Row>> {
  const pages = all
    ? await api.requestPages(schema, path, query)
    : [await api.request(schema, path, { query })];
  const next = pages.at(-1)?.value.next ?? null;
  return {
    rows: pages.flatMap(({ value }) => value[field]),
    more: next !== null,
    raw: { [field]: pages.flatMap(({ raw }) => (raw as Record<Field, unknown[]>)[field]), next },
  };
}
