"""Pages and cursors at their edges."""

import base64
import json

import pytest
from marshmallow import ValidationError

from app.core.errors import InvalidInput
from app.core.pagination import PageQuery, cursor_keys, page_of


def cursor(keys: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(keys).encode()).decode().rstrip("=")


def page(count: int, limit: int) -> tuple[list[int], object]:
    found = page_of([{"id": number} for number in range(count)], limit, lambda row: [row["id"]])
    return [row["id"] for row in found.items], found.next_cursor


def test_a_page_has_as_many_items_as_its_limit_and_a_cursor_only_when_more_follow():
    assert page(0, 3) == ([], None)
    assert page(2, 3) == ([0, 1], None)
    assert page(3, 3) == ([0, 1, 2], None)
    assert page(4, 3) == ([0, 1, 2], cursor([2]))


@pytest.mark.parametrize(("limit", "is_taken"), [(0, False), (1, True), (200, True), (201, False), ("x", False)])
def test_a_limit_is_between_one_and_two_hundred(limit, is_taken):
    try:
        assert PageQuery().load({"limit": limit})["limit"] == limit
    except ValidationError:
        assert not is_taken
    else:
        assert is_taken


def test_without_a_limit_fifty_are_listed():
    assert PageQuery().load({}) == {"limit": 50, "cursor": None}


@pytest.mark.parametrize("keys", [[0], [2**63 - 1], ["a"], ["A1", 7], []])
def test_a_cursor_is_read_as_it_was_written(keys):
    assert PageQuery().load({"cursor": cursor(keys)})["cursor"] == keys


@pytest.mark.parametrize("keys", [[-1], [2**63], [1.5], [None], [[1]], {"a": 1}, "a", 5, None, ["no id!"], ["x" * 65]])
def test_a_malformed_cursor_is_rejected(keys):
    with pytest.raises(ValidationError):
        PageQuery().load({"cursor": cursor(keys)})


@pytest.mark.parametrize(
    ("keys", "kinds", "fits"),
    [
        ([1], (int,), True), (["a"], (str,), True), ([1, "a"], (int, str), True), ([True], (int,), False),
        (["a"], (int,), False), ([1, 2], (int,), False), ([], (int,), False), ([1], (int, str), False),
    ],
)  # fmt: skip
def test_a_cursor_of_another_list_is_refused(keys, kinds, fits):
    if fits:
        assert cursor_keys(keys, *kinds) == keys
    else:
        with pytest.raises(InvalidInput):
            cursor_keys(keys, *kinds)


def test_no_cursor_is_the_first_page():
    assert cursor_keys(None, int) is None
