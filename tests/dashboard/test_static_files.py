"""Files of the page: how long a browser keeps them, files that do not exist, and addresses of nothing."""

import re
from pathlib import Path

import pytest
from werkzeug.http import generate_etag

from app.dashboard.release import Release
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


def test_a_browser_keeps_the_files_of_a_release_and_asks_again_for_the_page(api: Api) -> None:
    caller = api.with_token(None)
    page = caller.get("//")
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.body.decode())
    (release,) = {re.match(r"/static/(at-\w{16})/", each)[1] for each in addresses}
    assert page.headers["cache-control"] == "no-cache"
    assert caller.get("//", If_None_Match=page.headers["etag"]).status == 304
    for address in addresses:
        answer = caller.get(f"/{address}")
        assert (answer.status, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    plain = caller.get("//static/js/main.js")
    other = caller.get("//static/at-0123456789abcdef/js/main.js")
    assert [each.headers["cache-control"] for each in (plain, other)] == ["no-cache", "no-cache"]
    assert plain.body == other.body == caller.get(f"//static/{release}/js/main.js").body


def test_each_change_of_a_file_makes_another_release(tmp_path: Path) -> None:
    (tmp_path / "js").mkdir()
    module = tmp_path / "js" / "main.js"
    module.write_text("1")
    release = Release(tmp_path)
    first = release.scan()
    module.write_text("22")
    second = release.scan()
    (tmp_path / "more.js").write_text("")
    assert len({first, second, release.scan()}) == 3
    (tmp_path / "more.js").unlink()
    module.write_text("1")
    assert release.scan() == first, "the content decides, on whichever machine"


def test_a_file_that_has_changed_since_the_scan_is_not_part_of_the_release(tmp_path: Path) -> None:
    module = tmp_path / "main.js"
    module.write_text("1")
    release = Release(tmp_path)
    name, etag = release.scan(), generate_etag(b"1")
    assert release.holds(name, "main.js", etag)
    assert not release.holds(name, "main.js", generate_etag(b"2"))
    assert not release.holds(name, "other.js", etag)
    assert not release.holds("another", "main.js", etag)
