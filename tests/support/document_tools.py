"""Writes the generated pages and modules, and checks the API documents.

The tools are Spectral, AsyncAPI's JSON schema and TypeScript, pinned and fetched by npm.
"""

import json
import os
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

from app.config import Config
from tests.support.node import ROOT, locked_packages, node_binary

SOURCES = ROOT / "tests" / "js" / "tools"
TYPES = ROOT / "clients" / "js" / "types"  # docs/types is a link to it
OPERATIONS = tuple(ROOT / "clients" / "js" / "src" / "rest" / f"operations.{kind}" for kind in ("js", "d.ts"))
_SCRIPTS = {
    "spectral": "@stoplight/spectral-cli/dist/index.js",
    "openapi-typescript": "openapi-typescript/bin/cli.js",
    "tsc": "typescript/bin/tsc",
}
_HEADER = "// Made from the server's documents by `python -m tests.support.document_tools`: do not edit.\n"
_CONFIGURATION_INTRODUCTION = """\
# Configuration

All settings are environment variables, read and checked once at the start: a process with an invalid setting does
not start, and reports every fault at once. This page is generated from `app/config/settings.py` (`make docs`).

Any variable may come from a file instead: `NAME_FILE=/run/secrets/name` is read if `NAME` is not set. Use that for
secrets (marked with a key below): variables show up in `docker inspect` and in crash reports, files do not. White space
around a value is ignored, and an empty value counts as not set.

Times are in seconds. In addition, `PORT` is the default of `--port` for `dashboard up` and `dashboard web`, and
`PROMETHEUS_MULTIPROC_DIR` is the folder in which the processes of a machine or container share their metrics;
`dashboard up` and the image set it.

| variable | default | description |
|---|---|---|
"""


def modules() -> Path:
    """The `node_modules` with the tools."""
    return locked_packages(SOURCES, "tools") / "node_modules"


def asyncapi_schema() -> dict[str, Any]:
    """The JSON schema of AsyncAPI 3.0 documents."""
    path = modules() / "@asyncapi" / "specs" / "schemas" / "3.0.0-without-$id.json"
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


def run(tool: str, *arguments: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    argv = [node_binary(), str(modules() / _SCRIPTS[tool]), *map(str, arguments)]
    environment = os.environ | {"NO_COLOR": "1", "FORCE_COLOR": "0"}
    return subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def types_of(document: dict[str, Any], folder: Path) -> str:
    """TypeScript types of an OpenAPI document."""
    source, target = folder / "document.json", folder / "types.ts"
    source.write_text(json.dumps(document), encoding="utf-8")
    options = ("--alphabetize", "--root-types", "--root-types-no-schema-prefix", "--default-non-nullable=false")
    done = run("openapi-typescript", source, "--output", target, *options, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return _HEADER + target.read_text(encoding="utf-8")


def event_types_of(asyncapi: dict[str, Any], folder: Path) -> str:
    """TypeScript types of the Socket.IO messages, and of the events that carry them."""
    components = {"schemas": asyncapi["components"]["schemas"]}
    plain = {"openapi": "3.1.0", "info": asyncapi["info"], "paths": {}, "components": components}
    return types_of(plain, folder) + _listeners(asyncapi)


def _listeners(asyncapi: dict[str, Any]) -> str:
    """Interfaces for socket.io-client's `Socket<ServerToClient, ClientToServer>`."""
    messages = asyncapi["components"]["messages"]
    sent = [messages[key] for key in asyncapi["channels"]["room"]["messages"]] + [
        messages["sessionExpired"],
        messages["sessionRevoked"],
    ]
    events = [f'  "{each["name"]}": (event: {_schema(each)}) => void;' for each in sent]
    join = f"(message: {_schema(messages['protocolJoin'])}, ack: (answer: JoinedAck | RefusedAck) => void) => void"
    leave = "(ack: (answer: LeftAck | RefusedAck) => void) => void"
    ping = "(ack: (answer: AliveAck | RefusedAck) => void) => void"
    renew = f"(message: {_schema(messages['sessionRenew'])}, ack: (answer: RenewedAck | RefusedAck) => void) => void"
    return "\n".join(
        [
            "export interface ServerToClientEvents {",
            *events,
            "}",
            "export interface ClientToServerEvents {",
            f'  "protocol:join": {join};',
            f'  "protocol:leave": {leave};',
            f'  "session:ping": {ping};',
            f'  "session:renew": {renew};',
            "}\n",
        ]
    )


def _schema(message: dict[str, Any]) -> str:
    name: str = message["payload"]["$ref"].rpartition("/")[2]
    return name


def operations_of(openapi: dict[str, Any]) -> tuple[str, str]:
    """The table of operations of the JavaScript package (clients/js/src/rest), and its types."""
    described = {
        operation["operationId"]: _operation(path, method, item, operation)
        for path, item in openapi["paths"].items()
        for method, operation in item.items()
        if method in ("get", "post", "put", "patch", "delete") and not _is_stream(operation)
    }
    rows = [f"  {name}: {json.dumps(each)},\n" for name, each in sorted(described.items())]
    table = "/** Each operation of the REST API by its `operationId`. */\nexport const OPERATIONS = {\n" + "".join(rows)
    names = "".join(f'\n  | "{name}"' for name in sorted(described))
    return f"{_HEADER}{table}}};\n", f"{_HEADER}export type OperationName ={names};\n"


def _operation(path: str, method: str, item: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    given = item.get("parameters", []) + operation.get("parameters", [])
    query = [each["name"] for each in given if each.get("in") == "query"]
    has_key = any(each.get("name") == "Idempotency-Key" for each in given)
    described = {"query": query, "hasKey": has_key, "isPaged": "cursor" in query}
    return {"method": method.upper(), "path": path} | {name: each for name, each in described.items() if each}


def _is_stream(operation: dict[str, Any]) -> bool:
    return any("text/event-stream" in answer.get("content", {}) for answer in operation["responses"].values())


def configuration_page() -> str:
    """docs/configuration.md, from the settings."""
    rows = []
    for each in fields(Config):
        default = "" if each.default == "" else f"`{each.default}`"
        mark = " 🔑" if each.metadata["secret"] else ""
        rows.append(f"| `{each.metadata['env']}`{mark} | {default} | {each.metadata['about']} |\n")
    return _CONFIGURATION_INTRODUCTION + "".join(rows)


def main() -> None:
    """Write docs/configuration.md, docs/reference, the types, the table of operations and the generated calls."""
    import tempfile

    from app.apidocs import asyncapi
    from tests.support import python_client, reference_api
    from tests.support.documents import openapi_offline

    document = openapi_offline()
    (ROOT / "docs" / "configuration.md").write_text(configuration_page(), encoding="utf-8")
    for page, text in reference_api.pages(document, asyncapi.document()).items():
        page.write_text(text, encoding="utf-8")
    python_client.write(document)
    with tempfile.TemporaryDirectory() as scratch:
        TYPES.mkdir(parents=True, exist_ok=True)
        (TYPES / "rest.d.ts").write_text(types_of(document, Path(scratch)), encoding="utf-8")
        for name, text in zip(OPERATIONS, operations_of(document), strict=True):
            name.write_text(text, encoding="utf-8")
        (TYPES / "events.d.ts").write_text(event_types_of(asyncapi.document(), Path(scratch)), encoding="utf-8")


if __name__ == "__main__":
    main()
