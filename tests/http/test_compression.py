"""Long answers go out zipped, to callers that take it, and say the same."""

import json

import pytest

from tests.factories import deposit, file_vulnerability, make_protocol

GZIP = {"Accept_Encoding": "gzip, deflate"}


@pytest.fixture
def path(api):
    protocol_id = make_protocol(api)
    for _ in range(20):
        deposit(api, protocol_id, "1.00")
        file_vulnerability(api, protocol_id)
    return f"/protocols/{protocol_id}"


@pytest.mark.parametrize("part", ["/state", "/pool/entries", "/vulnerabilities"])
def test_a_long_response_is_compressed_for_callers_that_accept_gzip(api, path, part):
    plain = api.viewer.get(path + part)
    zipped = api.viewer.get(path + part, **GZIP)

    assert zipped.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert "Accept-Encoding" in zipped.headers["vary"]
    assert int(zipped.headers["content-length"]) < int(plain.headers["content-length"]) / 4
    assert without_time(zipped.body) == without_time(plain.body)


def without_time(body):
    return {name: value for name, value in json.loads(body).items() if name != "asOf"}


def test_a_short_response_is_not_compressed(api, path):
    assert "content-encoding" not in api.viewer.get(path + "/pool", **GZIP).headers


def test_a_caller_that_refuses_gzip_gets_an_uncompressed_response(api, path):
    answer = api.viewer.get(path + "/pool/entries", Accept_Encoding="gzip;q=0, br")
    assert answer.body.startswith(b"{")


@pytest.mark.parametrize("document", ["//openapi.json", "//docs/static/docs.css"])
def test_documents_are_compressed_and_both_forms_share_an_etag(api, document):
    nobody = api.with_token(None)
    plain, zipped = nobody.get(document), nobody.get(document, **GZIP)

    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.body == plain.body
    for answer in (plain, zipped):
        tag = answer.headers["etag"]
        assert nobody.get(document, If_None_Match=tag).status == 304
        assert nobody.get(document, If_None_Match=tag, **GZIP).status == 304


def test_an_unchanged_snapshot_is_304_for_callers_with_the_compressed_form(api, path):
    tag = api.viewer.get(path + "/state", **GZIP).headers["etag"]
    assert api.viewer.get(path + "/state", If_None_Match=tag, **GZIP).status == 304
