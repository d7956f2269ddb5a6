"""Each log record is one line, and values sent by callers cannot imitate fields or lines."""

import logging
import sys
from typing import Any

import pytest

from app.observability.telemetry import TextFormatter


def line(message: str = "engineio.refused", level: int = logging.INFO, **extras: Any) -> str:
    record = logging.LogRecord("app", level, __file__, 1, message, (), extras.pop("exc_info", None))
    vars(record).update(extras)
    return TextFormatter().format(record)


def test_a_record_reads_as_level_event_and_values() -> None:
    assert (
        line(room="protocol:P1", seq=12, requestId="r-1")
        == "INFO engineio.refused room=protocol:P1 seq=12 requestId=r-1"
    )
    assert line(requestId="") == "INFO engineio.refused"


def test_a_value_with_spaces_or_quotes_is_quoted() -> None:
    assert line(detail='two words" level="x') == 'INFO engineio.refused detail="two words\\" level=\\"x"'
    assert line(detail="") == 'INFO engineio.refused detail=""'
    assert line(detail="a b\\") == 'INFO engineio.refused detail="a b\\\\"'


def test_a_json_value_is_not_quoted_and_other_text_that_resembles_json_is() -> None:
    assert line(data='{"amount":"1.00","reference":"a b"}') == (
        'INFO engineio.refused data={"amount":"1.00","reference":"a b"}'
    )
    assert line(data="{} level=x {}") == 'INFO engineio.refused data="{} level=x {}"'


FORGED = {
    "newline": "a\nINFO FAKE line", "carriage return": "a\rb", "escape": "a\x1b[31m", "NUL": "a\x00", "DEL": "\x7f",
    "C1": "a\x9b31m", "next line": "a\x85b", "bidi override": "a\u202eb", "isolate": "\u2066a", "separator": "a\u2028b",
    "paragraph": "a\u2029b", "surrogate": "a\ud800",
}  # fmt: skip


@pytest.mark.parametrize("what", FORGED)
@pytest.mark.parametrize("where", ["message", "value", "name"])
def test_control_characters_are_escaped(what: str, where: str) -> None:
    text = FORGED[what]
    reported = {"message": lambda: line(text), "value": lambda: line(detail=text), "name": lambda: line(**{text: 1})}[
        where
    ]()
    assert len(reported.splitlines()) == 1
    assert reported.isprintable()


def test_a_message_of_several_lines_becomes_one_line() -> None:
    assert line("warm\nshutdown\n") == "INFO warm\\nshutdown"


def test_a_tracebacks_lines_are_indented_and_harmless() -> None:
    try:
        raise ValueError("first\nINFO FAKE line\x1b[31m")
    except ValueError:
        first, *rest = line("job.failed", logging.ERROR, job="7", exc_info=sys.exc_info()).splitlines()
    assert first == "ERROR job.failed job=7"
    assert rest[-1].strip().startswith("INFO FAKE")
    assert all(each.startswith("    ") and each.isprintable() for each in rest)
