"""The page at `/`, its modules under `/static`, the demo's sign-in, the operators' page and its runbooks."""

from http import HTTPStatus
from pathlib import Path
from typing import cast

from flask import Blueprint, Response, current_app, jsonify, request, send_from_directory
from flask.blueprints import BlueprintSetupState

from app.auth.authorization import requires
from app.auth.permissions import Action
from app.core.errors import DomainError
from app.core.values import to_wire
from app.dashboard import assets, demo, operations, runbooks
from app.dashboard.release import Release

STATIC = Path(__file__).parent / "static"

YEAR_SECONDS = 31_536_000

blueprint = Blueprint("dashboard", __name__)


@blueprint.record_once
def _add_release(state: BlueprintSetupState) -> None:
    state.app.extensions["page_release"] = Release(STATIC)


def _release() -> Release:
    return cast(Release, current_app.extensions["page_release"])


class NotSetUp(DomainError):
    code, status = "PAGE_NOT_SET_UP", HTTPStatus.SERVICE_UNAVAILABLE


@blueprint.get("/", defaults={"name": "index.html"})
@blueprint.get("/ops", defaults={"name": "ops.html"})
def page(name: str) -> Response:
    """The dashboard page and the operators' page"""
    if not assets.are_installed():
        raise NotSetUp("The page's modules are missing: run `make setup`, or `python -m app.dashboard.assets`.")
    content = (STATIC / name).read_bytes().replace(b'="/static/', f'="/static/at-{_release().scan()}/'.encode())
    if demo.is_on():
        content = content.replace(b"<html ", b"<html data-demo ", 1)
    response = Response(content, content_type="text/html; charset=utf-8")
    response.headers["Cache-Control"] = "no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response


@blueprint.get("/static/<path:name>", defaults={"release": ""})
@blueprint.get("/static/at-<string(length=16):release>/<path:name>")
def static_file(release: str, name: str) -> Response:
    """A module, style sheet or picture of the pages

    Revalidated each time by a hash of the content, so that no browser mixes the files of two releases. At the address
    that the page gives, a browser keeps it for a year.
    """
    response = send_from_directory(STATIC, name, conditional=False, etag=False)
    response.direct_passthrough = False
    del response.headers["Last-Modified"]
    response.add_etag()
    if release and _release().holds(release, name, response.get_etag()[0]):
        response.headers["Cache-Control"] = f"public, max-age={YEAR_SECONDS}, immutable"
    response.make_conditional(request)
    return response


@blueprint.get("/runbooks/<string:name>")
def runbook(name: str) -> Response:
    """The runbook of an alert, which the operators' page links to"""
    return Response(runbooks.page(name), content_type="text/html; charset=utf-8")


@blueprint.after_app_request
def show_not_found(response: Response) -> Response:
    """Answer a browser's navigation to an unknown path outside /api with a page."""
    is_navigation = request.method == "GET" and "text/html" in request.headers.get("Accept", "")
    is_unknown = response.status_code == HTTPStatus.NOT_FOUND and not request.path.startswith("/api")
    if is_navigation and is_unknown:
        response.set_data((STATIC / "404.html").read_bytes())
        response.content_type = "text/html; charset=utf-8"
    return response


@blueprint.get("/demo/session")
def demo_session() -> Response:
    """Tokens for the demo's roles, when the demo is on (`dashboard up --demo`) and the browser is on this machine"""
    return demo.session()


@blueprint.get("/ops/status")
@requires(Action.OPERATE)
def operators_status() -> Response:
    """The system's state, for the operators' page"""
    return jsonify(to_wire(operations.read_status()))
