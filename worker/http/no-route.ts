// Answers requests that no route handles: 404 for an unknown path, 405 for a known path with another method.
import type { Context, Handler } from "hono";
import type { EdgeEnv } from "../context.ts";
import { showRefusal } from "./errors.ts";

export function routeNotFound(): Handler<EdgeEnv> {
  return function refuseRoute(c: Context<EdgeEnv>) {
    return showRefusal(c, {
      code: "not_found",
      message: "There is no such route. GET /docs lists the routes.",
    });
  };
}

/** @param methods the methods of the path's routes */
export function methodNotAllowed(path: string, methods: readonly string[]): Handler<EdgeEnv> {
  const allow = [
    ...methods,
    ...(methods.includes("GET") ? ["HEAD"] : []),
    ...(path.startsWith("/v1/") ? ["OPTIONS"] : []),
  ].join(", ");
  return function refuseMethod(c: Context<EdgeEnv>) {
    const answer = showRefusal(c, { code: "method_not_allowed", message: `This route accepts ${allow}.` });
    answer.headers.set("allow", allow);
    return answer;
  };
}
