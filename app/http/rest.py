"""flask-smorest, as the REST features use it: one `Api` for all, and their `Blueprint`."""

from collections.abc import Callable
from typing import Any, TypeVar

import flask_smorest
from webargs.core import missing
from webargs.flaskparser import FlaskParser

View = TypeVar("View", bound=Callable[..., Any])
from werkzeug.datastructures import MultiDict


class StrictParser(FlaskParser):
    """Reads bodies with the app's own JSON (`http.StrictJson`): webargs' takes NaN and crashes on deep nesting."""

    def load_json(self, req: Any, schema: Any) -> Any:
        del schema
        return req.get_json() if req.is_json and req.get_data() else missing

    def load_querystring(self, req: Any, schema: Any) -> Any:
        """The query's parameters; `?status=` is what a form sends for a filter that is not set."""
        filled = [(name, value) for name, value in req.args.items(multi=True) if value]
        return self._makeproxy(MultiDict(filled), schema)


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    ARGUMENTS_PARSER = StrictParser()


api = flask_smorest.Api()


def refuses(*codes: str) -> Callable[[View], View]:
    """Name the 404 and 409 codes of a view that its path and decorators do not tell, for the API document."""

    def decorate(view: View) -> View:
        view.refusal_codes = codes  # type: ignore[attr-defined]
        return view

    return decorate
