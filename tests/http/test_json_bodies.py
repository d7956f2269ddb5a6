"""A JSON body must be complete, uncompressed UTF-8."""

import gzip

import pytest

from tests.support.api import Api

pytestmark = pytest.mark.database("sqlite")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_json_is_utf8_and_nothing_else(encoding: str, api: Api) -> None:
    answer = api.admin.post("/protocols", '{"name": "é"}'.encode(encoding))

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")
    assert api.admin.post("/protocols", '\ufeff{"name": "é"}'.encode()).status == 201, "a byte order mark harms nobody"


def test_a_compressed_body_is_415(api: Api) -> None:
    zipped = gzip.compress(b'{"name": "x"}')

    assert api.admin.post("/protocols", zipped, Content_Encoding="gzip").code == "UNSUPPORTED_MEDIA_TYPE"
    assert api.admin.post("/protocols", {"name": "x"}, Content_Encoding="identity").status == 201


def test_an_empty_body_lacks_its_fields(api: Api) -> None:
    assert api.admin.post("/protocols", b"").expect(422)["errors"] == {"name": ["Missing data for required field."]}
