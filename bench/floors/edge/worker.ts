// The floor under the edge: a Hono Worker that parses the JSON it was sent and hands back what the origin
// answers, streams by the runtime's own pipe.
import { Hono } from "hono";

const app = new Hono<{ Bindings: { ORIGIN: string } }>();

app.post("/v1/chat/completions", async (c) => {
  const body = await c.req.text();
  JSON.parse(body);
  return fetch(`${c.env.ORIGIN}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
});

export default app;
