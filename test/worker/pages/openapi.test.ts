// The OpenAPI document against the Worker's route table, in both directions.
import { describe, expect, it } from "vitest";
import shipped from "../../../fleet.config.ts";
import { openApiDocument } from "../../../scripts/build/openapi/document.ts";
import { DIALECTS, DIALECT_NAMES } from "../../../shared/dialects.ts";
import type { FleetConfig } from "../../../shared/fleet.ts";
import { LINK_PATH } from "../../../shared/wire.ts";
import { createApp } from "../../../worker/app.ts";
import { box, fleetOf, server } from "../support/fleets.ts";

/** Routes for browsers and agents, which no client's program calls. */
const UNDOCUMENTED = ["GET /", "GET /console/", "GET /console/{file}", LINK_PATH];

/** Methods and paths of the route table, in OpenAPI's notation. */
function routesOf(fleet: FleetConfig): string[] {
  const routes = createApp(fleet).routes.filter(({ method }) => !["ALL", "OPTIONS"].includes(method));
  const named = routes.map(({ method, path }) => `${method} ${path.replaceAll(/:([a-z]+)/g, "{$1}")}`);
  return [...new Set(named)].filter((route) => !UNDOCUMENTED.some((other) => route.endsWith(other)));
}

function documented(fleet: FleetConfig): string[] {
  return Object.entries(openApiDocument(fleet).paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
  );
}

const able = (capabilities: FleetConfig["boxes"][number]["servers"][number]["capabilities"]): FleetConfig =>
  fleetOf({ boxes: [box("north", [server(9000, { capabilities })])] });

describe("the OpenAPI document", () => {
  it.each([
    ["the shipped fleet", shipped],
    ["a fleet that can do everything", able(["chat", "embeddings", "rerank"])],
  ])("has only routes of the table, and every one that %s serves", (_, fleet) => {
    const table = routesOf(fleet).map((route) => route.replace("/docs/{file}", "/docs/reference"));
    const paths = documented(fleet);
    const unserved = DIALECT_NAMES.map((dialect) => `POST ${DIALECTS[dialect].path}`).filter(
      (route) => !paths.includes(route),
    );
    expect(paths.toSorted()).toEqual(table.filter((route) => !unserved.includes(route)).toSorted());
  });

  it.each([
    ["embeddings", "/v1/embeddings"],
    ["rerank", "/v1/rerank"],
  ] as const)("shows %s only if a server has the capability", (capability, path) => {
    expect(Object.keys(openApiDocument(able(["chat"])).paths)).not.toContain(path);
    expect(Object.keys(openApiDocument(able(["chat", capability])).paths)).toContain(path);
  });
});
