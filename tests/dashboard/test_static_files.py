"""A file name that is too long for any file is not found."""

import pytest

from tests.support.api import Api

pytestmark = pytest.mark.database("sqlite")


@pytest.mark.parametrize("name", ["a" * 256, "a" * 5000, "x/" * 300])
def test_a_name_longer_than_a_files_can_be_is_not_found(name: str, api: Api) -> None:
    assert api.with_token(None).get(f"//static/{name}").code == "NOT_FOUND"
    assert api.with_token(None).get(f"//docs/static/{name}").code == "NOT_FOUND"
