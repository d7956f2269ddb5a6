"""Files of the page that do not exist, and addresses of nothing."""

import pytest

from tests.support.api import Api

pytestmark = pytest.mark.database("sqlite")


@pytest.mark.parametrize("name", ["a" * 256, "a" * 5000, "x/" * 300])
def test_a_name_longer_than_a_files_can_be_is_not_found(name: str, api: Api) -> None:
    assert api.with_token(None).get(f"//static/{name}").code == "NOT_FOUND"
    assert api.with_token(None).get(f"//docs/static/{name}").code == "NOT_FOUND"


@pytest.mark.parametrize("path", ["//nowhere", "//static/nothing.js"])
def test_a_browser_that_goes_nowhere_gets_a_page_outside_the_api_only(path: str, api: Api) -> None:
    caller, page = api.with_token(None), {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    answer = caller.get(path, **page)
    assert (answer.status, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert b"<h1>There is nothing here</h1>" in answer.body
    assert caller.get(path, Accept="*/*").code == "NOT_FOUND"
    assert caller.get("/nowhere", **page).code == "NOT_FOUND"
