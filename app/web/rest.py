"""flask-smorest, as the REST features use it: one `Api` for all, and their `Blueprint`."""

from typing import Any

import flask_smorest
from webargs.core import missing
from webargs.flaskparser import FlaskParser


class StrictParser(FlaskParser):
    """Reads bodies with the app's own JSON (`http.StrictJson`): webargs' takes NaN and crashes on deep nesting."""

    def load_json(self, req: Any, schema: Any) -> Any:
        del schema
        return req.get_json() if req.is_json and req.get_data() else missing


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    ARGUMENTS_PARSER = StrictParser()


api = flask_smorest.Api()
