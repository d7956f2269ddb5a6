"""The same progress report in FastAPI: `python fastapi_ingest.py REDIS_PORT SCRIPT KEY KEYS` prints its port.

As this project does: a verified token is remembered, the body is validated, one EVALSHA of the same script.
"""

import json
import socket
import sys
from datetime import datetime
from hashlib import sha1
from pathlib import Path
from typing import Annotated, Literal

import jwt
import msgpack
import redis.asyncio
import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict, Field

REDIS = redis.asyncio.Redis(port=int(sys.argv[1]), protocol=2)
SCRIPT = Path(sys.argv[2]).read_text(encoding="utf-8")
SHA = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
KEY = sys.argv[3]
KEYS = json.loads(sys.argv[4])  # of the room, for the script
app = FastAPI(openapi_url=None)
verified: dict[str, dict] = {}
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]


class Report(BaseModel):
    model_config = ConfigDict(extra="forbid")
    protocolId: Id  # noqa: N815 - the name on the wire
    task: Annotated[str, Field(min_length=1, max_length=200)]
    progress: Annotated[float, Field(ge=0, le=100)]
    status: Literal["RUNNING"] = "RUNNING"
    estimatedCompletion: datetime | None = None  # noqa: N815 - the name on the wire
    nextTask: str | None = None  # noqa: N815 - the name on the wire


async def caller(authorization: Annotated[str, Header()] = "") -> dict:
    token = authorization.removeprefix("Bearer ")
    claims = verified.get(token)
    if claims is None:
        try:
            claims = verified[token] = jwt.decode(token, KEY, algorithms=["HS256"])
        except jwt.PyJWTError as error:
            raise HTTPException(401) from error
    return claims


@app.post("/api/v1/agents/{agent_id}/progress", status_code=202)
async def progress(agent_id: str, report: Report, claims: Annotated[dict, Depends(caller)]) -> dict:
    if claims["role"] != "admin" and claims["sub"] != agent_id:
        raise HTTPException(403)
    done = report.estimatedCompletion
    data = {
        "agentId": agent_id,
        "task": report.task,
        "progress": f"{report.progress:g}",
        "status": "RUNNING",
        "estimatedCompletion": done and done.isoformat(),
        "error": None,
        "nextTask": report.nextTask,
    }
    text = json.dumps(data, separators=(",", ":"))[:-1]
    taken = msgpack.packb([report.protocolId, [agent_id, report.task, text]])
    await REDIS.evalsha(SHA, len(KEYS), *KEYS, report.protocolId, "", taken)
    return {"accepted": "1"}


@app.on_event("startup")
async def load() -> None:
    await REDIS.script_load(SCRIPT)
    print(listener.getsockname()[1], flush=True)


listener = socket.create_server(("127.0.0.1", 0), backlog=512)
config = uvicorn.Config(app, access_log=False, log_level="warning", loop="uvloop", http="httptools")
uvicorn.Server(config).run(sockets=[listener])
