# The router of the system that this one replaced, as its clients knew it: picks a llama-server by port or agent type,
# forwards the body with httpx, and reshapes the answer. It serves as a point of comparison for `npm run bench -- --peers`.
import os

import httpx
from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse, StreamingResponse

ORIGIN = os.environ["ORIGIN"]
PORTS = {8080, 8081, 8082, 8084, 8085}
AGENTS = {
    "Clinical": 8085, "AIDoctor": 8085, "MedicalQA": 8081, "Chat": 8081, "Claims": 8084, "Billing": 8084,
    "Insurance": 8084, "Scribe": 8082, "Triage": 8082,
}
KEYS = {"dev-key"}

app = FastAPI()
client = httpx.AsyncClient(base_url=ORIGIN, timeout=300, limits=httpx.Limits(max_connections=256))


@app.get("/healthz")
async def healthz():
    return {"status": "ok"}


@app.post("/v1/chat/completions")
async def chat(request: Request, authorization: str = Header(default="")):
    if authorization.removeprefix("Bearer ") not in KEYS:
        raise HTTPException(401, "invalid key")
    body = await request.json()
    port = body.pop("model_port", None) or AGENTS.get(body.pop("agent_type", None), 8080)
    if port not in PORTS:
        raise HTTPException(400, "unknown port")
    if body.get("stream"):
        upstream = await client.send(client.build_request("POST", "/v1/chat/completions", json=body), stream=True)
        return StreamingResponse(upstream.aiter_raw(), media_type="text/event-stream")
    answer = (await client.post("/v1/chat/completions", json=body)).json()
    for choice in answer["choices"]:
        choice["text"] = choice["message"]["content"]
    return JSONResponse(answer)
