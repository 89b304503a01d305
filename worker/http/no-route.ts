// Answers requests that no route handles: 404 for an unknown path, with the route that was probably meant; 405 for a known
// path with another method.
import type { Context, Handler } from "hono";
import { dialectOf } from "../../shared/dialects.ts";
import type { EdgeEnv } from "../context.ts";
import { showRefusal } from "./errors.ts";

/** @param paths of all routes, as the route table has them */
export function routeNotFound(paths: readonly string[]): Handler<EdgeEnv> {
  const known = new Map(paths.map((path) => [path.toLowerCase(), path]));
  return function refuseRoute(c: Context<EdgeEnv>) {
    const meant = meantPath(c.req.path, known);
    const hint = meant === null ? "GET /docs lists the routes." : `Did you mean ${meant}?`;
    return showRefusal(c, { code: "not_found", message: `There is no such route. ${hint}` });
  };
}

/** A base URL without `/v1` or with it twice, a slash too many, another letter case. */
function meantPath(path: string, known: ReadonlyMap<string, string>): string | null {
  const tidy = path
    .toLowerCase()
    .replace(/\/{2,}/g, "/")
    .replace(/\/$/, "")
    .replace(/^(\/v1)+(?=\/)/, "/v1");
  const candidates = [tidy, `/v1${tidy}`, tidy.replace(/^\/v1(?=\/)/, ""), tidy.replace(/^\/api(?=\/)/, "")];
  for (const candidate of candidates) {
    const found = known.get(candidate);
    if (found !== undefined) return found;
  }
  return null;
}

/** @param methods the methods of the path's routes */
export function methodNotAllowed(path: string, methods: readonly string[]): Handler<EdgeEnv> {
  const allow = [
    ...methods,
    ...(methods.includes("GET") ? ["HEAD"] : []),
    ...(path.startsWith("/v1/") || dialectOf(path) !== undefined ? ["OPTIONS"] : []),
  ].join(", ");
  return function refuseMethod(c: Context<EdgeEnv>) {
    const answer = showRefusal(c, { code: "method_not_allowed", message: `This route accepts ${allow}.` });
    answer.headers.set("allow", allow);
    return answer;
  };
}
