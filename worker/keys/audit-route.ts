// GET /admin/audit: the actions of operators, newest first.
import type { Context } from "hono";
import { RefusedError } from "../../shared/errors.ts";
import { AuditQuery } from "../../shared/keys.ts";
import type { EdgeEnv } from "../context.ts";
import { readAdminQuery } from "../http/admin-input.ts";
import { registryObject } from "../stubs.ts";

export function showAudit() {
  return async function answerAudit(c: Context<EdgeEnv>): Promise<Response> {
    const query = readAdminQuery(c.req.url, AuditQuery);
    if (!query.ok) throw new RefusedError(query.refusal);
    return c.json(await registryObject(c.env).audit(query.value));
  };
}
