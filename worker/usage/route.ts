// GET /admin/usage: what keys, models and agent types used, as JSON or as a table for spreadsheets.
import type { Context } from "hono";
import { RefusedError } from "../../shared/errors.ts";
import { UsageQuestion } from "../../shared/usage-report.ts";
import type { EdgeEnv } from "../context.ts";
import { readAdminQuery } from "../http/admin-input.ts";
import { usageCsv } from "./csv.ts";
import { usageRange } from "./query-range.ts";
import { ledgerObject } from "../stubs.ts";

export function showUsage(clock: () => number) {
  return async function answerUsage(c: Context<EdgeEnv>): Promise<Response> {
    const question = readAdminQuery(c.req.url, UsageQuestion);
    if (!question.ok) throw new RefusedError(question.refusal);
    const query = usageRange(question.value, clock());
    if (!query.ok) throw new RefusedError(query.refusal);
    const report = await ledgerObject(c.env).usage(query.value);
    const accepted = c.req.header("accept")?.includes("text/csv") === true ? "csv" : "json";
    if ((question.value.format ?? accepted) === "json") return c.json(report);
    const name = `usage-${report.from.slice(0, 10)}-${report.to.slice(0, 10)}.csv`;
    return c.body(usageCsv(report), 200, {
      "content-type": "text/csv; charset=utf-8; header=present",
      "content-disposition": `attachment; filename="${name}"`,
    });
  };
}
