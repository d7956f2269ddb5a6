"""Which spellings of a path are answered."""

import pytest

from app.http.middleware import is_canonical

CANONICAL = [
    "/",
    "/healthz",
    "/api/v1/protocols/eth%3Amain",
    "/docs/",
    "/a.b/..c/...",
    "/payments/%00",
    "/a%20b",
    "/%C3%A9",
    "/%c3%a9",
    "/static/js/main.js",
    "/a;b=1",
    "/a~b_c-d.e",
    "/%40",
    "/%5B%5D",
    "/%60",
    "/%7B",
    "/é",
    "*",
]
OTHERS = [
    "//",
    "//metrics",
    "/metrics//",
    "/api//v1",
    "/.",
    "/./metrics",
    "/..",
    "/a/../metrics",
    "/a/.",
    "/metrics%2F",
    "/%2fmetrics",
    "/%6detrics",
    "/%6Detrics",
    "/%2e/metrics",
    "/%2E%2e/metrics",
    "/.%2e/metrics",
    "/%30",
    "/%39",
    "/%41",
    "/%5a",
    "/%5F",
    "/%61",
    "/%7A",
    "/%7e",
    "/%2D",
    "/a\\b",
    "/a%5Cb",
    "/%",
    "/%4",
    "/%zz",
    "/%4g",
    "/a/..%2f",
    "/%%36d",
]


@pytest.mark.parametrize("path", CANONICAL)
def test_a_canonical_path_is_accepted(path: str) -> None:
    assert is_canonical(path)


@pytest.mark.parametrize("path", OTHERS)
def test_any_other_spelling_of_a_path_is_not_canonical(path: str) -> None:
    assert not is_canonical(path)
