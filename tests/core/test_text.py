"""Descriptive text is cleaned and truncated, never refused; invalid names are refused with a reason."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.values import clean_text, naming_problem

FAMILY = "👩‍👩‍👧‍👦"
SCOTLAND = "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
ANY_CHARACTER = st.characters(exclude_categories=())
PASTED = st.lists(
    st.one_of(
        st.text(ANY_CHARACTER),
        st.sampled_from(
            ["\x1b[31m", "\x1b]8;;http://x\x1b\\", "\x9b1m", "\x1b]", "\r\n", "\r", "🇩🇪", "e\u0301", FAMILY]
        ),
    ),
    max_size=12,
).map("".join)


@pytest.mark.parametrize(
    ("pasted", "stored"),
    [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\nHost: x\n\n"),
        ("50 %\r100 %\r", "50 %\n100 %\n"),
        ("a\r\r\nb", "a\n\nb"),
        ("\x1b[1;31mError\x1b[0m: \x1b[38;5;196mred\x1b[m", "Error: red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;https://x.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP1$r0m\x1b\\a\x1b_app\x1b\\b", "ab"),
        ("\x9b31mred\x9b0m", "red"),
        ("\x1b(Bplain\x1b[?25h", "plain"),
        ("\x1b]never ended\nnext line", "never ended\nnext line"),
        ("cut off \x1b", "cut off "),
        ("a\x00b\x07c\x7fd\x85e", "abcde"),
        ("\tcolumn", "\tcolumn"),
        ("lone \ud83d and \ude00", "lone  and "),
        ("\u202egnp.exe\u202c \u2067x\u2069", "gnp.exe x"),
        ("\u200fשלום, مرحبا", "\u200fשלום, مرحبا"),
        (FAMILY, FAMILY),
        ("", ""),
    ],
)
def test_descriptions_are_stored_without_control_characters(pasted, stored):
    assert clean_text(pasted, 2_000) == stored


@pytest.mark.parametrize(
    ("text", "limit", "cut"),
    [
        ("x" * 10, 10, "x" * 10),
        ("x" * 11, 10, "x" * 9 + "…"),
        ("xxe\u0301y", 4, "xx…"),
        ("x" + FAMILY + "y", 6, "x…"),
        ("ab🇩🇪🇫🇷", 5, "ab🇩🇪…"),
        ("ab🇩🇪🇫🇷", 4, "ab…"),
        ("a👍🏽b", 3, "a…"),
        ("x\r\n" * 5, 10, "x\n" * 5),
    ],
)
def test_text_that_is_too_long_is_truncated_between_graphemes_with_an_ellipsis(text, limit, cut):
    assert clean_text(text, limit) == cut


def test_a_single_endless_grapheme_is_truncated():
    assert len(clean_text("a" + "\u0301" * 30_000, 2_000)) == 2_000


@given(PASTED, st.integers(1, 40))
def test_cleaned_text_fits_holds_no_controls_and_is_not_changed_by_cleaning_it_again(pasted, limit):
    text = clean_text(pasted, limit)
    assert len(text) <= limit
    assert not [each for each in text if unicodedata.category(each) in ("Cc", "Cs") and each not in "\n\t"]
    assert clean_text(text, limit) == text
    text.encode()


@pytest.mark.parametrize(
    "name", ["Scan Vault.sol", "ماسح", "סורק \u200f(1)", "می\u200cخواهم", f"{FAMILY} team", SCOTLAND, "検査", "é"]
)
def test_a_name_in_any_script_is_accepted(name):
    assert naming_problem(name) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a\nb", "control"),
        ("a\tb", "control"),
        ("a\x1b[31mb", "control"),
        ("a\x00", "control"),
        ("a\x85b", "control"),
        ("a\u2028b", "control"),
        ("Vault\u202elos.", "bidirectional"),
        ("\u2066x\u2069", "bidirectional"),
        ("a\ud800", "surrogates"),
        ("", "visible"),
        ("   ", "visible"),
        ("\u200b\u200d\ufeff", "visible"),
        ("\u3164", "visible"),
        ("\u2800\u00a0", "visible"),
        ("\ufe0f\u00ad", "visible"),
    ],
)
def test_an_invalid_name_is_rejected_with_the_reason(name, why):
    assert why in naming_problem(name)
