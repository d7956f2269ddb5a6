"""Serves `/openapi.json`, `/asyncapi.json` and `/docs`, the page that renders both."""

import hashlib
import json
from collections.abc import Callable

from flask import Blueprint, Response, current_app, request

from app.apidocs import asyncapi, openapi
from app.apidocs.json_schemas import Json
from app.http.responses import BEST, CompressibleBody

blueprint = Blueprint("apidocs", __name__, static_folder="static", static_url_path="/docs/static")


@blueprint.get("/openapi.json")
def openapi_json() -> Response:
    return _document("openapi", lambda: openapi.document(current_app))


@blueprint.get("/asyncapi.json")
def asyncapi_json() -> Response:
    return _document("asyncapi", asyncapi.document)


@blueprint.get("/docs")
def docs_page() -> Response:
    return blueprint.send_static_file("index.html")


def _document(name: str, make: Callable[[], Json]) -> Response:
    """Generate the document at the first request, when all routes are registered, and keep it."""
    contents: dict[str, tuple[CompressibleBody, str]] = current_app.extensions.setdefault("apidocs", {})
    if name not in contents:
        text = json.dumps(make(), indent=1, ensure_ascii=False).encode()
        contents[name] = CompressibleBody(text, BEST), hashlib.sha256(text).hexdigest()[:32]
    content, tag = contents[name]
    response = content.response("application/json")
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(tag)
    response.make_conditional(request)
    return response
