"""Generates the typed REST calls of clients/python from the OpenAPI document (`make docs`)."""

import json
import keyword
import re
import subprocess
import sys
import textwrap
from typing import Any

from tests.support.node import ROOT

TARGET = ROOT / "clients" / "python" / "src" / "dashboard_realtime" / "rest"
Json = dict[str, Any]
_HEADER = '"""{about}\n\nMade from the OpenAPI document by `make docs`: do not edit.\n"""\n\n'
_TYPES = {
    "string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None", "object": "JsonObject",
}  # fmt: skip
_WIDTH = 112


def generated_files(document: Json) -> dict[str, str]:
    """The text of each generated file, by name."""
    operations = operations_of(document)
    files = {
        "types.py": _types(document["components"]["schemas"], operations),
        "operations.py": _operations(operations),
        "sync_calls.py": _calls(operations, is_async=False),
        "async_calls.py": _calls(operations, is_async=True),
    }
    return {name: _formatted(text, name) for name, text in files.items()}


def operations_of(document: Json) -> list["Operation"]:
    found = [
        Operation(method.upper(), path, operation, document["components"]["schemas"])
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if not is_stream(operation)
    ]
    return sorted(found, key=lambda each: each.name)


def is_stream(operation: Json) -> bool:
    """Whether the response does not end: the package's Room reads it instead."""
    return "text/event-stream" in _success(operation).get("content", {})


class Operation:
    """One operation of the document, as the generated code names it."""

    def __init__(self, method: str, path: str, operation: Json, schemas: Json) -> None:
        self.method, self.path, self.operation = method, path, operation
        self.name = snake_case(operation["operationId"])
        self.parameters = {
            kind: [each for each in operation.get("parameters", ()) if each["in"] == kind]
            for kind in ("path", "query", "header")
        }
        self.is_idempotent = any(each["name"] == "Idempotency-Key" for each in self.parameters["header"])
        self.body = _body_schema(operation, schemas)
        content = _success(operation).get("content", {})
        self.is_text = [*content] == ["text/plain"]
        json_schema = content.get("application/json", {}).get("schema", {"type": "null"})
        self.result = "str" if self.is_text else _type(json_schema)
        has_cursor = any(each["name"] == "cursor" for each in self.parameters["query"])
        self.is_paged = self.result.endswith("Page") and has_cursor
        if self.is_paged:
            self.result = _type(schemas[self.result.rpartition(".")[2]]["properties"]["items"]["items"])

    def arguments(self) -> list[str]:
        """Ids by position, all else by keyword."""
        ids = [f"{snake_case(each['name'])}: str" for each in self.parameters["path"]]
        required, optional = [], []
        for name, shape, is_required in self.fields():
            kind = _request_type(shape)
            if is_required:
                required.append(f"{name}: {kind}")
            else:
                optional.append(f"{name}: {kind.removesuffix(' | None')} | None = None")
        if self.is_idempotent:
            optional.append("idempotency_key: str | None = None")
        return ids + (["*"] if required or optional else []) + required + optional

    def fields(self) -> list[tuple[str, Json, bool]]:
        query = [
            (_identifier(each["name"]), each["schema"], each.get("required", False))
            for each in self.parameters["query"]
        ]
        required = self.body.get("required", ())
        return [
            (_identifier(name), shape, name in required) for name, shape in self.body.get("properties", {}).items()
        ] + query

    def call(self) -> str:
        """The arguments of `call` or `_pages`."""
        ids = [f'"{each["name"]}": {snake_case(each["name"])}' for each in self.parameters["path"]]
        body = [f'"{name}": {_identifier(name)}' for name in self.body.get("properties", {})]
        query = [f'"{each["name"]}": {_identifier(each["name"])}' for each in self.parameters["query"]]
        given = [f"operations.{self.name.upper()}"]
        given += [
            f"{name}={{{', '.join(values)}}}"
            for name, values in (("path", ids), ("body", body), ("query", query))
            if values
        ]
        return ", ".join([*given, "idempotency_key=idempotency_key"] if self.is_idempotent else given)


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _identifier(name: str) -> str:
    found = snake_case(name)
    return f"{found}_" if keyword.iskeyword(found) else found


def _body_schema(operation: Json, schemas: Json) -> Json:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return schemas[content["schema"]["$ref"].rpartition("/")[2]] if content else {}


def _success(operation: Json) -> Json:
    return next(each for status, each in operation["responses"].items() if status.startswith("2"))


def _type(shape: Json, prefix: str = "types.") -> str:
    """The Python type of a JSON schema, as read from a response."""
    if "$ref" in shape:
        return prefix + shape["$ref"].rpartition("/")[2]
    if choices := shape.get("anyOf") or shape.get("oneOf"):
        return " | ".join(dict.fromkeys(_type(each, prefix) for each in choices))
    if "allOf" in shape and len(shape["allOf"]) == 1:
        return _type(shape["allOf"][0], prefix)
    kinds = shape["type"] if isinstance(shape.get("type"), list) else [shape.get("type", "object")]
    values = [each for each in shape.get("enum", ()) if each is not None]
    names = []
    for kind in kinds:
        if values and kind == "string":
            names.append(f"Literal[{', '.join(map(json.dumps, values))}]")
        elif kind == "array":
            names.append(f"list[{_type(shape.get('items', {}), prefix)}]")
        else:
            names.append(_TYPES[kind])
    return " | ".join(names)


def _request_type(shape: Json) -> str:
    """What callers may pass: amounts also as Decimals, times also as datetimes."""
    wider = {"decimal": "Amount", "date-time": "Moment"}.get(shape.get("format", ""))
    kind = _type(shape)
    return re.sub(r"\bstr\b", wider, kind) if wider else kind


def _types(schemas: Json, operations: list[Operation]) -> str:
    """The objects as TypedDicts; the bodies of requests become arguments instead."""
    bodies = {id(each.body) for each in operations}
    lines = [_HEADER.format(about="The objects of the REST API, as JSON has them.").rstrip() + "\n"]
    lines.append(
        "from __future__ import annotations\n\nfrom typing import Any, Literal, TypedDict\n"
        "\nJsonObject = dict[str, Any]\n"
    )
    for name, schema in sorted(schemas.items()):
        if schema.get("type") == "object" and id(schema) not in bodies:
            lines.append(_typed_dict(name, schema))
    return "\n".join(lines)


def _typed_dict(name: str, schema: Json) -> str:
    """Optional members of requests need a base class of their own before Python 3.11."""
    required = schema.get("required", ())
    members = schema.get("properties", {})
    parts = {
        True: [each for each in members.items() if each[0] in required],
        False: [each for each in members.items() if each[0] not in required],
    }
    about = schema.get("description", "").split("\n")[0]
    if parts[True] and parts[False]:
        base = f"_{name}Required"
        return _class(base, "TypedDict", parts[True], "") + _class(name, f"{base}, total=False", parts[False], about)
    total = "" if parts[True] else ", total=False"
    return _class(name, f"TypedDict{total}", parts[True] or parts[False], about)


def _class(name: str, base: str, members: list[tuple[str, Json]], about: str) -> str:
    lines = [f"\nclass {name}({base}):"]
    lines += [_docstring(about, 4)] if about else []
    lines += [f"    {member}: {_type(shape, '')}" for member, shape in members] or ["    pass"]
    return "\n".join(lines) + "\n"


def _operations(operations: list[Operation]) -> str:
    lines = [_HEADER.format(about="What the REST operations are, for both clients.")]
    lines.append("from dashboard_realtime.rest import types\nfrom dashboard_realtime.rest.requests import Operation\n")
    for each in operations:
        flags = [f"{name}=True" for name in ("is_idempotent", "is_text") if getattr(each, name)]
        given = ", ".join([f'"{each.method}"', f'"{each.path}"', *flags])
        lines.append(f"{each.name.upper()}: Operation[{each.result}] = Operation({given})")
    return "\n".join(lines).replace("[JsonObject]", "[types.JsonObject]") + "\n"


def _calls(operations: list[Operation], *, is_async: bool) -> str:
    kind, pages = ("Async", "AsyncPages") if is_async else ("Sync", "Pages")
    lines = [_HEADER.format(about=f"The typed calls of the {'asynchronous' if is_async else 'synchronous'} client.")]
    lines.append("from abc import abstractmethod\nfrom typing import Any, Literal\n")
    lines.append(
        f"from dashboard_realtime.rest import operations, types\nfrom dashboard_realtime.rest.pages import {pages}"
    )
    lines.append("from dashboard_realtime.rest.requests import Amount, Moment, Operation, Result\n")
    lines.append(f"\nclass {kind}Calls:\n    @abstractmethod")
    lines.append(
        f"    {'async ' * is_async}def call(self, operation: Operation[Result], **request: Any) -> Result: ...\n"
    )
    lines.append("    @abstractmethod")
    lines.append(f"    def _pages(self, operation: Operation[Result], **request: Any) -> {pages}[Result]: ...\n")
    lines += [_method(each, is_async=is_async) for each in operations]
    return "\n".join(lines).replace("JsonObject", "types.JsonObject")


def _method(each: Operation, *, is_async: bool) -> str:
    result = f"{'Async' * is_async}Pages[{each.result}]" if each.is_paged else each.result
    define, call = ("async def", "await self.call") if is_async else ("def", "self.call")
    if each.is_paged:
        define, call = "def", "self._pages"
    text = each.operation.get("summary", "") + ". " + each.operation.get("description", "")
    arguments = ", ".join(["self", *each.arguments()])
    lines = [
        f"    {define} {each.name}({arguments}) -> {result}:",
        _docstring(text, 8),
        f"        return {call}({each.call()})",
    ]
    return "\n".join([*lines, ""])


def _docstring(text: str, indent: int) -> str:
    first, _, rest = " ".join(text.split()).replace('"', "'").replace("..", ".").strip().partition(". ")
    body = [f'"""{first.removesuffix(".")}.'] + (["", *textwrap.wrap(rest, _WIDTH - indent)] if rest else [])
    body = [*body, '"""'] if rest else [body[0] + '"""']
    return textwrap.indent("\n".join(body), " " * indent)


def _formatted(text: str, name: str) -> str:
    for command in (["check", "--fix", "--exit-zero", "--quiet"], ["format"]):
        argv = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(TARGET / name), "-"]
        text = subprocess.run(argv, input=text, capture_output=True, text=True, check=True).stdout
    return text


def write(document: Json) -> None:
    for name, text in generated_files(document).items():
        (TARGET / name).write_text(text, encoding="utf-8")
