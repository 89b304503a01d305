// GET /admin/usage: the usage of keys, models and agent types, as JSON or as CSV for spreadsheets.
import type { Context } from "hono";
import { RefusedError } from "../../shared/errors.ts";
import { UsageQuery } from "../../shared/usage-report.ts";
import type { EdgeEnv } from "../context.ts";
import { readAdminQuery } from "../http/admin-input.ts";
import { usageCsv } from "./csv.ts";
import { usageRequest } from "./query-range.ts";
import { ledgerObject } from "../stubs.ts";

export function showUsage(clock: () => number) {
  return async function answerUsage(c: Context<EdgeEnv>): Promise<Response> {
    const query = readAdminQuery(c.req.url, UsageQuery);
    if (!query.ok) throw new RefusedError(query.refusal);
    const request = usageRequest(query.value, clock());
    if (!request.ok) throw new RefusedError(request.refusal);
    const report = await ledgerObject(c.env).usage(request.value);
    const accepted = c.req.header("accept")?.includes("text/csv") === true ? "csv" : "json";
    if ((query.value.format ?? accepted) === "json") return c.json(report);
    const name = `usage-${report.from.slice(0, 10)}-${report.to.slice(0, 10)}.csv`;
    return c.body(usageCsv(report), 200, {
      "content-type": "text/csv; charset=utf-8; header=present",
      "content-disposition": `attachment; filename="${name}"`,
    });
  };
}
