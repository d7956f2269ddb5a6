"""flask-smorest as the REST features use it: one `Api`, their `Blueprint`, and strict parsing of requests."""

from collections.abc import Callable
from typing import Any, TypeVar

import flask_smorest
from webargs.core import missing
from webargs.flaskparser import FlaskParser
from werkzeug.datastructures import MultiDict

from app.core.errors import DomainError

View = TypeVar("View", bound=Callable[..., Any])


class StrictParser(FlaskParser):
    """Reads bodies with the application's JSON provider: webargs' own accepts NaN and crashes on deep nesting."""

    def load_json(self, req: Any, schema: Any) -> Any:
        del schema
        return req.get_json() if req.is_json and req.get_data() else missing

    def load_querystring(self, req: Any, schema: Any) -> Any:
        """The query's parameters without empty ones: a form sends `?status=` for a filter that is not set."""
        filled = [(name, value) for name, value in req.args.items(multi=True) if value]
        return self._makeproxy(MultiDict(filled), schema)


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    ARGUMENTS_PARSER = StrictParser()


api = flask_smorest.Api()


def raises(*errors: type[DomainError]) -> Callable[[View], View]:
    """Name the 404 and 409 errors of a view, for the API document, that its path and decorators do not imply."""

    def decorate(view: View) -> View:
        view.error_codes = tuple(error.code for error in errors)  # type: ignore[attr-defined]
        return view

    return decorate
